import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { ffmpeg, lamps } from '../videos.fixture.js';

const CHROMIUM = '/usr/bin/chromium';
const SIZE = '640x480';
const RATE = 10;
/** Chromium plays a file again and again, which the health tests see: it must last for as long as it is looked at. */
const SECONDS = 30;
const QUIET_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** For tests: Chromiums whose camera plays a video file. */
export class FakeCamera {
  readonly #folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-camera-'));
  readonly #browsers = new Set<Browser>();

  /** Makes what a camera films: lamps, with the noise of a sensor. @returns the file */
  noisy(): string {
    return this.#video('noisy.mjpeg', lamps(SIZE, RATE), SECONDS);
  }

  /** The same, standing still: one picture of it again and again. @returns the file */
  frozen(): string {
    return this.#video('frozen.mjpeg', `${lamps(SIZE, RATE)},loop=loop=-1:size=1:start=0`, 2);
  }

  /**
   * Opens a new browser with an empty page.
   * @param options - `film`: the file its camera plays; `allows`: whether the person allows the camera; `label`: what the browser calls it,
   *   when not by the name of that file
   */
  async open(options: { film: string; allows?: boolean; label?: string; width?: number }): Promise<Page> {
    const { film, allows = true, label, width = 1_000 } = options;
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        ...QUIET_FLAGS,
        '--use-fake-device-for-media-stream',
        `--use-file-for-fake-video-capture=${film}`,
        // Without it nobody is there to say yes.
        ...(allows ? ['--use-fake-ui-for-media-stream'] : []),
      ],
    });
    this.#browsers.add(browser);
    const context = await browser.newContext({ viewport: { width, height: 900 } });
    if (label !== undefined) {
      const named = `{ get: () => ${JSON.stringify(label)} }`;
      await context.addInitScript({
        content: `Object.defineProperty(MediaStreamTrack.prototype, 'label', ${named})`,
      });
    }
    return context.newPage();
  }

  /** Closes every browser. */
  async closeAll(): Promise<void> {
    const browsers = [...this.#browsers];
    this.#browsers.clear();
    await Promise.all(browsers.map((browser) => browser.close()));
  }

  /** Takes the videos away. */
  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #video(name: string, source: string, seconds: number): string {
    const file = path.join(this.#folder, name);
    ffmpeg(
      '-f',
      'lavfi',
      '-i',
      source,
      '-t',
      String(seconds),
      '-c:v',
      'mjpeg',
      '-q:v',
      '3',
      '-pix_fmt',
      'yuvj420p',
      file,
    );
    return file;
  }
}
