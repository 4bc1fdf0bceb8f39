import { createHash, createHmac } from 'node:crypto';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { isFull, needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { MjpegTestServer } from '../../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { Place } from '../place.fixture.js';
import { Command, endAll, eventually, freePorts, run, untilStatus } from '../processes.fixture.js';
import { FilmedWall, loginLink, Onlooker, seriousFaults, statusesOf } from './dashboard.fixture.js';

/** From a fault in the camera to words on the page. */
const FAULT_MS = 5_000;
/** Three of them black, and then the rest: where time matters it may take longer. */
const DARK_MS = isFull ? FAULT_MS : 10_000;
/** From the first picture, or the last fault, to a verdict that has settled. */
const VERDICT_MS = 40_000;
/** What the preview shows, as text. */
const PIXELS = `(() => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 80, height: 60 });
  canvas.getContext('2d').drawImage(document.querySelector('[data-camera=wall] .views > .picture img'), 0, 0, 80, 60);
  return canvas.toDataURL();
})()`;
/** Pools as they are shown: bytes and drains of each. */
const SHOWN_POOLS = `JSON.stringify([...document.querySelectorAll('.pools li[data-pool]')].map(({ dataset }) => [
  Number(dataset.bytes), Number(dataset.drains)]))`;

needs('chromium')('the dashboard', () => {
  const camera = new MjpegTestServer();
  const film = new FilmedWall();
  let place: Place;
  let ports: Record<'feed' | 'office' | 'beacons' | 'relay', number>;
  let onlooker: Onlooker;
  let page: Page;

  const url = (node: 'office' | 'relay') => `http://127.0.0.1:${ports[node]}`;

  beforeAll(async () => {
    place = await Place.make();
    await camera.listen();
    camera.play(film.act);
    ports = await freePorts('feed', 'office', 'beacons', 'relay');
    place.writeNode({
      name: 'office',
      listen: ports.feed,
      admin: ports.office,
      sources: [{ kind: 'camera', name: 'wall', url: camera.url }, { kind: 'timing' }, { kind: 'os' }],
      outlets: [{ kind: 'feed' }],
    });
    place.writeNode({
      name: 'relay',
      listen: ports.beacons,
      admin: ports.relay,
      sources: [
        { kind: 'feed', name: 'upstream', url: `https://127.0.0.1:${ports.feed}`, peer: 'office' },
        { kind: 'os', periodMs: 100 },
      ],
      outlets: [{ kind: 'beacon' }, { kind: 'feed' }],
    });
    for (const node of ['office', 'relay'])
      void new Command(['node', '--config', place.path(`${node}.yaml`)]);
    await untilStatus(ports.office, 'the camera is heard', ({ generator, sources }) => {
      return generator.seeded && sources.some(({ name, state }) => name === 'wall' && state === 'ok');
    });
    await untilStatus(ports.relay, 'the relay hears', ({ generator, sources }) => {
      return generator.seeded && sources.some(({ name, state }) => name === 'upstream' && state === 'ok');
    });
    onlooker = await Onlooker.open();
    page = await onlooker.page();
  }, 90_000);

  afterAll(async () => {
    await onlooker?.close();
    await endAll();
    await camera.close();
    place.remove();
  });

  /** Beacons that the relay was asked for. */
  let taken = 0;

  afterEach(() => {
    expect(onlooker.complaints.splice(0)).toEqual([]);
    const ours = [url('office'), url('relay')];
    const elsewhere = onlooker.requests.filter((asked) => !ours.some((own) => asked.startsWith(`${own}/`)));
    // What the page made itself is no request to anybody.
    expect(elsewhere.filter((asked) => !asked.startsWith('blob:'))).toEqual([]);
  });

  const office = async (): Promise<void> => {
    if (page.url() !== `${url('office')}/`) await page.goto(url('office'));
    await page.waitForSelector('main[data-link=live] .flow');
  };

  it('shows the wall, and it moves', async () => {
    await office();
    await page.waitForSelector('[data-camera=wall] .views > .picture[data-there=true] img');
    const pixels = async () => String(await page.evaluate(PIXELS));
    const first = await pixels();
    expect(first.length).toBeGreaterThan(500);
    await eventually('another picture', async () => (await pixels()) !== first);
    const said = page.locator('[data-camera=wall] .said');
    await eventually('a verdict', async () => /Healthy/.test((await said.textContent()) ?? ''), VERDICT_MS);
    expect(await page.textContent('[data-camera=wall] h3')).toContain('simulated');
    expect(await page.isVisible('[data-camera=wall] .noise img')).toBe(true);
    // There is no WebGL in this browser, and the page says so.
    expect(await page.textContent('[data-camera=wall] .note')).toContain('no WebGL');
    expect(await page.textContent('.pools .note')).toContain('no WebGL');
  });

  it('fills and drains the pools as the schedule does: what it shows is what the node says', async () => {
    await office();
    const told = new Set<string>();
    const drains = new Set<number>();
    const stop = statusesOf(`${url('office')}/v1/events`, ({ generator }) => {
      told.add(JSON.stringify(generator.pools.map(({ bytes, drains: times }) => [bytes, times])));
    });
    const looks: string[] = [];
    await eventually('the pools to move', async () => {
      const shown = String(await page.evaluate(SHOWN_POOLS));
      looks.push(shown);
      drains.add(Number(/,(\d+)/.exec(shown)?.[1]));
      return drains.size >= 4;
    });
    await eventually('the node to have said all of it', () => looks.every((look) => told.has(look)), 3_000);
    stop();
    // The table says the same as the picture.
    const both = await page.evaluate(`[...document.querySelectorAll('.pools li[data-pool]')].map((lamp) => {
      const row = document.querySelector('tr[data-pool="' + lamp.dataset.pool + '"] [data-value]');
      return [lamp.dataset.bytes, row.dataset.value];
    })`);
    expect(both).toEqual((both as string[][]).map(([bytes]) => [bytes, bytes]));
  });

  it('answers what would still be unpredictable', async () => {
    await office();
    const answer = page.locator('#rest-answer');
    expect(await answer.textContent()).toMatch(/^Unpredictable, as long as one of these is: .*timing.*\.$/);
    expect(await page.isDisabled('.rest label:has-text("wall") input')).toBe(true);
    const boxes = page.locator('.rest input:not(:disabled)');
    // By keyboard alone.
    await page.focus('.rest label:has-text("os") input');
    await page.keyboard.press('Space');
    expect(await answer.textContent()).toMatch(
      /^Were os known, it would still be unpredictable: yes, from .*timing/,
    );
    for (const box of await boxes.all()) await box.check();
    expect(await answer.textContent()).toContain('no: nothing would be left');
    for (const box of await boxes.all()) await box.uncheck();
  });

  it('says in words within 5 s what is wrong with the camera, and that it is well again', async () => {
    await office();
    const said = page.locator('[data-camera=wall] .said');
    const until = (words: string, deadlineMs: number) =>
      eventually(words, async () => ((await said.textContent()) ?? '').includes(words), deadlineMs);
    film.view = 'blind';
    await until('blown out', FAULT_MS);
    expect(await said.textContent()).toContain('Next: lower the exposure');
    expect(await page.textContent('.masthead')).toContain('wall: the picture is blown out');
    film.view = 'silent';
    await until('No video comes in', FAULT_MS);
    film.view = 'dark';
    await until('picture is dark', DARK_MS);
    await eventually('the log', async () => /dark/.test((await page.textContent('.events')) ?? ''));
    // Said once to who cannot see it.
    await eventually('the announcement', async () =>
      /dark/.test((await page.textContent('#announcer')) ?? ''),
    );
    film.view = 'wall';
    await until('Healthy', VERDICT_MS);
  });

  it('shows the chain and who takes', async () => {
    for (let i = 0; i < 3; i++, taken++) {
      const { ca, cert, key } = place.tls('machine');
      const asked = ['beacon', '--from', `https://127.0.0.1:${ports.beacons}`, '--peer', 'relay'];
      const { code, stderr } = await run([...asked, '--ca', ca, '--cert', cert, '--key', key]);
      expect({ code, stderr }).toMatchObject({ code: 0 });
    }
    await page.goto(url('relay'));
    await page.waitForSelector('.clients tbody tr');
    expect(await page.textContent('.chain')).toMatch(/upstream.*office/);
    await eventually(
      'all beacons taken',
      async () => (await page.textContent('.clients .figure')) === String(taken),
    );
    expect(await page.textContent('.clients tbody')).toContain('machine');
    expect(await page.textContent('.chain')).toContain('the lamps are upstream');
    expect(await page.locator('.wall').count()).toBe(0);
    await office();
    await eventually('the relay below', async () =>
      /relay/.test((await page.textContent('.chain > ol > li:last-child')) ?? ''),
    );
    await eventually('a chart', async () => (await page.locator('.chart canvas').count()) > 4);
    expect(await page.textContent('.history table')).toContain('Memory');
  });

  it('draws what neither side chose, after a login by link', async () => {
    await office();
    expect(await page.textContent('.draw')).toContain(
      `lamplighter dashboard link --config ${place.path('office.yaml')}`,
    );
    const link = await loginLink(place, 'office');
    await page.goto(link);
    await page.waitForURL(`${url('office')}/`);
    // Not even in the history of the browser.
    expect(await page.evaluate('document.referrer + location.href')).not.toContain('#');

    const forms: Readonly<Record<string, (text: string, value: Buffer) => boolean>> = {
      hex: (text, value) => text === value.toString('hex'),
      base64: (text, value) => text === value.toString('base64'),
      uuid: (text) => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(text),
      integer: (text, value) => Number(text) === 1 + Number(value.readBigUInt64BE() % 100n),
      dice: (text) => /^[1-6] [1-6]$/.test(text),
      coin: (text, value) => text === ((value[0] ?? 0) < 128 ? 'heads' : 'tails'),
    };
    const seen = new Set<string>();
    for (const [kind, fits] of Object.entries(forms)) {
      await page.check(`.draw input[value=${kind}]`);
      await page.click('.draw button.main');
      await page.waitForSelector('.making');
      const text = (await page.textContent('#drawn')) ?? '';
      const made = async (name: string) =>
        Buffer.from((await page.textContent(`.making [data-part=${name}]`)) ?? '', 'hex');
      const [server, browser, value] = [await made('server'), await made('browser'), await made('value')];
      expect(createHmac('sha256', server).update(browser).digest()).toEqual(value);
      expect(await made('commitment')).toEqual(createHash('sha256').update(browser).digest());
      expect([kind, text, fits(text, value)]).toEqual([kind, text, true]);
      seen.add(value.toString('hex'));
    }
    expect(seen.size).toBe(Object.keys(forms).length);
    await page.check('.draw input[value=integer]');
    await page.fill('.draw .range label:first-child input', '200');
    expect(await page.textContent('.draw .fault')).toContain('less than');
    expect(await page.isDisabled('.draw button.main')).toBe(true);
  });

  it('takes a login link once', async () => {
    const link = await loginLink(place, 'office');
    const first = await onlooker.page({ unheard: true });
    await first.goto(link);
    await first.waitForURL(`${url('office')}/`);
    // Who is logged in already needs no other link.
    await first.goto(`${url('office')}/login`);
    await first.waitForURL(`${url('office')}/`);
    const second = await onlooker.page({ unheard: true });
    await second.goto(link);
    await eventually('it is refused', async () =>
      /used already/.test((await second.textContent('#said')) ?? ''),
    );
    expect(second.url()).toBe(`${url('office')}/login`);
    expect(await second.isVisible('#how')).toBe(true);
    await Promise.all([first.context().close(), second.context().close()]);
  });

  it('runs no script and no style that is written into it', async () => {
    const victim = await onlooker.page({ unheard: true });
    await victim.goto(url('office'));
    const refused = await victim.evaluate(`new Promise((resolve) => {
      const refused = [];
      addEventListener('securitypolicyviolation', ({ effectiveDirective }) => {
        refused.push(effectiveDirective);
        if (refused.length === 4) resolve(refused.sort());
      });
      const script = document.createElement('script');
      script.textContent = 'window.ran = true';
      document.body.append(script);
      document.body.insertAdjacentHTML('beforeend', '<img src="/none.svg" onerror="window.ran = true"><p style="color: red">');
      document.body.append(Object.assign(document.createElement('script'), { src: 'http://127.0.0.1:9/x.js' }));
      setTimeout(() => resolve(refused.sort()), 5000);
    })`);
    expect(refused).toEqual(['script-src-attr', 'script-src-elem', 'script-src-elem', 'style-src-attr']);
    expect(await victim.evaluate('window.ran')).toBeUndefined();
    await victim.context().close();
  });

  const looks = [
    ['dark', 1440],
    ['light', 390],
    ['light', 1440],
    ['dark', 390],
  ] as const;
  it.each(isFull ? looks : looks.slice(0, 2))(
    'has nothing serious for axe and nothing cut off, %s, %i px',
    async (colorScheme, width) => {
      const reader = await onlooker.page({ colorScheme, viewport: { width, height: 900 } });
      for (const node of ['office', 'relay'] as const) {
        await reader.goto(url(node));
        await reader.waitForSelector('.chart canvas');
        await reader.evaluate(`document.querySelectorAll('details').forEach((one) => (one.open = true))`);
        expect(await seriousFaults(reader)).toEqual([]);
        expect(await reader.evaluate('document.documentElement.scrollWidth')).toBe(width);
      }
      await reader.goto(`${url('office')}/login`);
      expect(await seriousFaults(reader)).toEqual([]);
      await reader.context().close();
    },
  );

  it('can be used by keyboard alone', async () => {
    const reader = await onlooker.page();
    await reader.goto(url('office'));
    await reader.waitForSelector('.flow');
    await reader.keyboard.press('Tab');
    expect(await reader.evaluate('document.activeElement.className')).toBe('skip');
    await reader.keyboard.press('Enter');
    expect(await reader.evaluate('document.activeElement.id')).toBe('content');
    const visited = new Set<string>();
    for (let i = 0; i < 60; i++) {
      await reader.keyboard.press('Tab');
      const at = await reader.evaluate(`(() => {
        const it = document.activeElement;
        const box = it.matches('.hidden, input') ? it.parentElement : it;
        const outline = getComputedStyle(it).outlineStyle !== 'none' || getComputedStyle(box.querySelector('span') ?? box).outlineStyle !== 'none';
        return [it.closest('section, footer')?.getAttribute('aria-labelledby') ?? it.localName, outline ? '' : 'unseen'].join(' ').trim();
      })()`);
      // After the last comes the browser itself.
      if (String(at) !== 'body unseen') visited.add(String(at));
    }
    expect([...visited].filter((at) => at.endsWith('unseen'))).toEqual([]);
    for (const section of ['rest', 'flow', 'history', 'events']) expect(visited).toContain(section);
    await reader.context().close();
  });

  it('keeps still for who asks for it', async () => {
    const running = (of: Page) => of.evaluate('document.getAnimations().length');
    const calm = await onlooker.page({ reducedMotion: 'reduce' });
    await calm.goto(url('office'));
    await calm.waitForSelector('main[data-link=live] .flow');
    const before = await calm.getAttribute('.pools li', 'data-drains');
    await eventually('a drain', async () => (await calm.getAttribute('.pools li', 'data-drains')) !== before);
    expect(await running(calm)).toBe(0);
    await calm.context().close();
  });
});

needs('chromium')('the dashboard with WebGL', () => {
  const camera = new MjpegTestServer();
  const film = new FilmedWall();
  let place: Place;

  afterAll(async () => {
    await endAll();
    await camera.close();
    place.remove();
  });

  it('draws the wall and the pools as lamps', async () => {
    place = await Place.make();
    await camera.listen();
    camera.play(film.act);
    const { admin } = await freePorts('admin');
    place.writeNode({
      name: 'office',
      admin,
      sources: [{ kind: 'camera', name: 'wall', url: camera.url }, { kind: 'os' }],
    });
    void new Command(['node', '--config', place.path('office.yaml')]);
    await untilStatus(admin, 'it is seeded', ({ generator }) => generator.seeded);
    const onlooker = await Onlooker.open({ gpu: true });
    // Small: everything is drawn in software here.
    const page = await onlooker.page({ viewport: { width: 640, height: 600 } });
    await page.goto(`http://127.0.0.1:${admin}`);
    await page.waitForSelector('.picture[data-there=true] canvas');
    expect(await page.locator('.note').count()).toBe(0);
    const picture = page.locator('[data-camera=wall] .views > .picture');
    const first = await picture.screenshot();
    await eventually('another picture', async () => !(await picture.screenshot()).equals(first));
    const pools = page.locator('.pools canvas');
    await pools.scrollIntoViewIfNeeded();
    const wax = await pools.screenshot();
    await eventually('the wax to move', async () => !(await pools.screenshot()).equals(wax));
    expect(onlooker.complaints).toEqual([]);
    await onlooker.close();
  });
});
