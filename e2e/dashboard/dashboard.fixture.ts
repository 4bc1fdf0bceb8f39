import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import {
  type Browser,
  type BrowserContextOptions,
  chromium,
  type ConsoleMessage,
  type Page,
} from 'playwright-core';
import { createJpegEncoder } from '../../packages/lamplighter/dist/demo/wall/jpeg.js';
import { systemRandomness } from '../../packages/lamplighter/dist/demo/wall/randomness.js';
import { Wall } from '../../packages/lamplighter/dist/demo/wall/wall.js';
import {
  type Act,
  begin,
  part,
} from '../../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import type { NodeStatus } from '../../packages/lamplighter/dist/wire/status.js';
import type { Place } from '../place.fixture.js';
import { run } from '../processes.fixture.js';

const CHROMIUM = '/usr/bin/chromium';
const QUIET_FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const NO_GPU = ['--disable-gpu', '--disable-3d-apis'];
const SOFTWARE_GPU = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader'];

const PERIOD_MS = 100;
const SIZE = { widthPx: 320, heightPx: 240 };

/** What is before a camera: the wall, or a cap, or a light; or the camera says nothing more. */
export type View = 'wall' | 'dark' | 'blind' | 'silent';

/** For tests: the virtual wall as a camera sees it; `view` changes what it sees from the next picture on. */
export class FilmedWall {
  view: View = 'wall';

  readonly act: Act = (response, stop) => {
    begin(response, { 'lamplighter-basis': 'simulated' });
    const lamps = new Wall({ ...SIZE, lampCount: 8 }, systemRandomness());
    const timer = setInterval(() => {
      lamps.advance(PERIOD_MS / 1_000);
      if (this.view === 'silent') return;
      response.write(part(this.view === 'wall' ? lamps.photograph() : PLAIN[this.view]));
    }, PERIOD_MS);
    stop.addEventListener('abort', () => clearInterval(timer), { once: true });
  };
}

const plain = (level: number) =>
  createJpegEncoder({ ...SIZE, quality: 85, comment: '' })(
    new Uint8Array(SIZE.widthPx * SIZE.heightPx * 3).fill(level),
  );
const PLAIN = { dark: plain(0), blind: plain(255) };

/** For tests: a real Chromium, whose pages tell what they asked for and what went wrong in them. */
export class Onlooker {
  readonly #browser: Browser;
  /** Everything a page asked for. */
  readonly requests: string[] = [];
  /** What it had to complain of: errors and warnings of its console, exceptions. */
  readonly complaints: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** @param options - `gpu`: with WebGL, drawn in software */
  static async open(options: { gpu?: boolean } = {}): Promise<Onlooker> {
    const args = [...QUIET_FLAGS, ...(options.gpu === true ? SOFTWARE_GPU : NO_GPU)];
    return new Onlooker(await chromium.launch({ executablePath: CHROMIUM, args }));
  }

  /** A page with cookies of its own. @param options - `unheard`: what goes wrong in it is meant to */
  async page(options: BrowserContextOptions & { unheard?: boolean } = {}): Promise<Page> {
    const { unheard = false, ...rest } = options;
    const context = await this.#browser.newContext({ viewport: { width: 1440, height: 900 }, ...rest });
    const page = await context.newPage();
    // Asked before anything is sent: what goes elsewhere is seen even if nobody would answer.
    await page.route('**/*', (route) => {
      this.requests.push(route.request().url());
      return route.continue();
    });
    if (unheard) return page;
    page.on('console', (message) => {
      if (isComplaint(message)) this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(error.message));
    return page;
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}

/** For tests: whether a line on a page's console complains; not when software that stands in for a GPU says that it is slow. */
export function isComplaint(message: ConsoleMessage): boolean {
  const isOfGpu = message.text().includes('GL Driver Message (OpenGL, Performance');
  return !isOfGpu && ['error', 'warning'].includes(message.type());
}

/** For tests: a login link of a node, as its command prints it. */
export async function loginLink(place: Place, node: string): Promise<string> {
  const { stdout, stderr } = await run(['dashboard', 'link', '--config', place.path(`${node}.yaml`)]);
  if (stdout === '') throw new Error(stderr);
  return stdout.trim();
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** For tests: what axe-core calls serious or critical on a page, as `rule: selectors`. */
export async function seriousFaults(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const found: unknown = await page.evaluate(
    `axe.run().then(({ violations }) => violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => id + ': ' + nodes.map(({ target }) => target.join(' ')).join(', ')))`,
  );
  return Array.isArray(found) ? found.map(String) : ['axe did not run'];
}

/** For tests: every status that a node tells those who watch. @returns the way to listen no more */
export function statusesOf(url: string, hear: (status: NodeStatus) => void): () => void {
  const asking = http.get(url, (response) => {
    let rest = '';
    response.setEncoding('utf8').on('data', (text: string) => {
      const frames = (rest + text).split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames) {
        const data = /^event: status\n(?:.*\n)*?data: (.*)$/m.exec(frame)?.[1];
        if (data !== undefined) hear(JSON.parse(data) as NodeStatus);
      }
    });
    response.on('error', () => undefined);
  });
  asking.on('error', () => undefined);
  return () => asking.destroy();
}
