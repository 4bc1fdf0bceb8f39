import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { SourceStatus } from '../../packages/lamplighter/dist/wire/status.js';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { Place } from '../place.fixture.js';
import { Command, endAll, freePorts, partOf, run, statusOf, untilStatus } from '../processes.fixture.js';
import { isComplaint } from './dashboard.fixture.js';
import { FakeCamera } from './fake-camera.fixture.js';

/** From the first picture to a verdict that has settled. */
const VERDICT_MS = 25_000;
/** A stall of 3 s, and a little. */
const STALLED_MS = 8_000;
const LABEL = 'Rear camera';
/** What a browser says to a page that was hidden or shown. */
const TURNED = `void document.dispatchEvent(new Event('visibilitychange'))`;

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const listed = (ids: unknown): readonly unknown[] => (Array.isArray(ids) ? ids : ['axe did not run']);

/** What axe-core finds, in both themes. */
async function accessibilityFaults(page: Page): Promise<unknown[]> {
  await page.evaluate(AXE);
  const found: unknown[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const ids: unknown = await page.evaluate(
      `axe.run().then(({ violations }) => violations.map(({ id }) => id))`,
    );
    found.push(...listed(ids));
  }
  return found;
}

needs('chromium', 'ffmpeg')('the browser camera', () => {
  const camera = new FakeCamera();
  let place: Place;
  let node: Command;
  let admin = 0;
  let film = { noisy: '', frozen: '' };

  beforeAll(async () => {
    film = { noisy: camera.noisy(), frozen: camera.frozen() };
    // Without a CA: nobody speaks TLS here.
    place = new Place();
    ({ admin } = await freePorts('admin'));
    place.write('office.yaml', {
      name: 'office',
      state: 'state/office',
      admin: { port: admin },
      sources: [{ kind: 'os' }, { kind: 'camera', name: 'phone', url: 'browser:' }],
    });
    node = new Command(['node', '--config', place.path('office.yaml')]);
    await untilStatus(admin, 'the node to be seeded', ({ generator }) => generator.seeded);
  });

  afterEach(() => camera.closeAll());
  afterAll(async () => {
    const { code } = await node.stop();
    await endAll();
    camera.remove();
    place.remove();
    expect(code).toBe(0);
  });

  const phone = async () => {
    const status = await statusOf(admin);
    return status && partOf(status, 'sources', 'phone');
  };

  const untilPhone = (what: string, holds: (phone: SourceStatus) => boolean, deadlineMs?: number) =>
    untilStatus(admin, what, (status) => holds(partOf(status, 'sources', 'phone')), deadlineMs);

  /** Comes with a login link, as a person does, and goes to the camera page. */
  async function logIn(page: Page): Promise<void> {
    const { stdout, stderr } = await run(['dashboard', 'link', '--config', place.path('office.yaml')]);
    if (stdout === '') throw new Error(stderr);
    await page.goto(stdout.trim());
    await page.waitForURL(`http://127.0.0.1:${admin}/`);
    await page.goto(`http://127.0.0.1:${admin}/camera`);
  }

  /** What goes wrong in a page without anybody seeing it. */
  function complaintsOf(page: Page): string[] {
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (isComplaint(message)) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      const { protocol, host } = new URL(request.url());
      if (protocol !== 'blob:' && host !== `127.0.0.1:${admin}`) complaints.push(request.url());
    });
    return complaints;
  }

  it('films for the node: noise is healthy and physical, and what is closed is stalled, in words', async () => {
    const page = await camera.open({ film: film.noisy, label: LABEL });
    const complaints = complaintsOf(page);
    const bytesBefore = (await phone())?.bytes ?? -1;
    await logIn(page);
    expect(await page.locator('.said').textContent()).toBe('Nothing is sent before you press Start.');
    expect((await phone())?.bytes).toBe(bytesBefore);

    await page.getByRole('button', { name: 'Start' }).click();
    const status = await untilPhone(
      'a healthy picture',
      ({ details }) => details['picture'] === 'healthy',
      VERDICT_MS,
    );
    const { state, basis, details, bytes } = partOf(status, 'sources', 'phone');
    expect({ state, basis }).toEqual({
      state: 'ok',
      basis: { simulated: false, degraded: false, physical: true },
    });
    expect(details).toMatchObject({ input: 'browser', url: 'browser:', faults: '', codec: 'mjpeg' });
    expect(Number(details['noiseRatio'])).toBeGreaterThan(1);
    expect(Number(details['framesPerSecond'])).toBeGreaterThan(1);
    expect(Number(details['framesPerSecond'])).toBeLessThan(6);
    expect(bytes - bytesBefore).toBeGreaterThan(100_000);
    expect(status.basis).toContain('physical');

    await expect
      .poll(() => page.locator('.thoughts [role=status]').textContent(), { timeout: 5_000 })
      .toContain('looks like a camera');
    expect(await page.locator('.rates').textContent()).toMatch(
      /^ ?\d+\.\d pictures a second, \d+ kB\/s, \d+ pictures so far\.$/,
    );

    expect(await accessibilityFaults(page)).toEqual([]);

    const preview = await fetch(`http://127.0.0.1:${admin}/v1/cameras/phone/preview`);
    const noise = await fetch(`http://127.0.0.1:${admin}/v1/cameras/phone/noise`);
    expect([preview.status, preview.headers.get('content-type')]).toEqual([200, 'image/png']);
    expect([noise.status, noise.headers.get('content-type')]).toEqual([200, 'image/png']);

    // A second page must not be mixed in, and is told so.
    const second = await page.context().newPage();
    await second.goto(page.url());
    await second.getByRole('button', { name: 'Start' }).click();
    await expect
      .poll(() => second.locator('.said').textContent(), { timeout: 5_000 })
      .toContain('another page films');
    await second.close();

    await page.getByRole('button', { name: 'Stop' }).click();
    expect(await page.locator('.said').textContent()).toBe('Stopped. The camera is off.');
    const gone = await untilPhone('that nobody films', ({ state }) => state === 'failed', STALLED_MS);
    const { reason } = partOf(gone, 'sources', 'phone');
    expect(reason?.code).toBe('ERR_CAMERA_STALLED');
    expect(reason?.message).toContain('the page that filmed sends nothing any more');
    // Chromium itself writes a refused request of the second page to the console of that page only.
    expect(complaints).toEqual([]);
  });

  it('sees that a picture is frozen, and counts a camera as simulated when its name says so', async () => {
    const page = await camera.open({ film: film.frozen });
    await logIn(page);
    await page.getByRole('button', { name: 'Start' }).click();
    const status = await untilPhone(
      'frozen',
      ({ details }) => String(details['faults']).includes('frozen'),
      VERDICT_MS,
    );
    const { state, reason, basis } = partOf(status, 'sources', 'phone');
    expect({ state, basis }).toEqual({
      state: 'degraded',
      basis: { simulated: true, degraded: true, physical: false },
    });
    expect(reason?.message).toContain('the picture does not change');
    await expect
      .poll(() => page.locator('.thoughts [role=status]').textContent(), { timeout: 5_000 })
      .toContain('The picture does not change');
    expect(await page.getByRole('checkbox').isChecked()).toBe(true);
    expect(await page.locator('.choice').textContent()).toContain('The name of this camera says so');
  });

  it('says in words that the camera was not allowed, that one has to log in, and that the session is over', async () => {
    const denied = await camera.open({ film: film.frozen, allows: false });
    await denied.goto(`http://127.0.0.1:${admin}/camera`);
    await expect
      .poll(() => denied.locator('main').textContent(), { timeout: 5_000 })
      .toContain('lamplighter dashboard link');
    expect(await denied.getByRole('button', { name: 'Start' }).count()).toBe(0);
    await logIn(denied);
    await denied.getByRole('button', { name: 'Start' }).click();
    await expect
      .poll(() => denied.locator('.said').textContent(), { timeout: 5_000 })
      .toContain('The camera was not allowed');

    const page = await camera.open({ film: film.noisy });
    await logIn(page);
    await page.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => page.locator('.said').textContent(), { timeout: 10_000 }).toBe('Filming.');
    await page.evaluate(async () => {
      const session: unknown = await (await fetch('/v1/session')).json();
      const csrf = typeof session === 'object' && session !== null && 'csrf' in session ? session.csrf : '';
      const headers = { 'content-type': 'application/json', 'x-lamplighter-csrf': String(csrf) };
      await fetch('/v1/logout', { method: 'POST', headers, body: '{}' });
    });
    await expect
      .poll(() => page.locator('.said').textContent(), { timeout: 5_000 })
      .toContain('Your session has ended');
    expect(await page.getByRole('button', { name: 'Start' }).count()).toBe(1);
  });

  it('pauses while it is hidden, and waits for a node that is gone', async () => {
    const page = await camera.open({ film: film.noisy, width: 390 });
    await logIn(page);
    await page.getByRole('button', { name: 'Start' }).click();
    const said = page.locator('.said');
    await expect.poll(() => said.textContent(), { timeout: 10_000 }).toBe('Filming.');
    await page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })`);
    await page.evaluate(TURNED);
    await expect.poll(() => said.textContent(), { timeout: 5_000 }).toContain('Paused');
    const { bytes = 0 } = (await phone()) ?? {};
    await untilPhone('that it stalls', ({ state }) => state === 'failed', STALLED_MS);
    expect((await phone())?.bytes).toBe(bytes);
    await page.evaluate(`delete document.hidden`);
    await page.evaluate(TURNED);
    await expect.poll(() => said.textContent(), { timeout: 10_000 }).toBe('Filming.');

    await page.route('**/frames', (route) => route.abort());
    await expect.poll(() => said.textContent(), { timeout: 5_000 }).toContain('The node does not answer');
    await page.unroute('**/frames');
    await expect.poll(() => said.textContent(), { timeout: 15_000 }).toBe('Filming.');
  });
});
