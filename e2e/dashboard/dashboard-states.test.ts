import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { Place } from '../place.fixture.js';
import { Command, endAll, eventually, freePorts, untilStatus } from '../processes.fixture.js';
import { Onlooker } from './dashboard.fixture.js';

needs('chromium')('the dashboard says in words', () => {
  let place: Place;
  let admin = 0;
  let onlooker: Onlooker;
  let page: Page;

  beforeAll(async () => {
    place = await Place.make();
    onlooker = await Onlooker.open();
  });
  afterAll(async () => {
    await onlooker?.close();
    place.remove();
  });
  afterEach(async () => {
    await page?.context().close();
    await endAll();
  });

  /** Starts a node and opens its page; a node that goes away leaves errors in the console. */
  async function open(sources: readonly object[]): Promise<Command> {
    ({ admin } = await freePorts('admin'));
    place.writeNode({ name: 'office', admin, sources, seedDeadlineMs: 1_000 });
    const node = await start();
    page = await onlooker.page({ unheard: true });
    await page.goto(`http://127.0.0.1:${admin}`);
    return node;
  }

  async function start(): Promise<Command> {
    const node = new Command(['node', '--config', place.path('office.yaml')]);
    await untilStatus(admin, 'it answers', () => true);
    return node;
  }

  const masthead = (what: RegExp) =>
    eventually(String(what), async () => what.test((await page.textContent('.masthead')) ?? ''));

  it('that it is not seeded, and why', async () => {
    await open([
      { kind: 'os' },
      { kind: 'camera', name: 'wall', url: 'http://127.0.0.1:9/', required: true },
    ]);
    await masthead(/Starting, not seeded yet/);
    await masthead(/wall/);
    expect(await page.textContent('.generator')).toContain('not seeded yet');
    expect(await page.textContent('#rest-answer')).toContain('nothing is served');
    // What is not heard has no picture, and nobody asks for one.
    expect(await page.textContent('[data-camera=wall] .said')).toContain(
      'No connection to http://127.0.0.1:9/',
    );
    expect(onlooker.requests.filter((url) => url.includes('/v1/cameras/'))).toEqual([]);
  });

  it('that the connection is lost, and that it is back', async () => {
    const node = await open([{ kind: 'os' }]);
    await masthead(/Ready/);
    await node.stop('SIGKILL');
    await masthead(/Connection lost/);
    expect(await page.getAttribute('main', 'data-link')).toBe('lost');
    expect(await page.textContent('.masthead')).toMatch(
      /Last heard at \d\d:\d\d:\d\d\. It is tried again (in \d+ s|now)\./,
    );
    // What was last heard stays.
    expect(await page.textContent('.flow')).toContain('os');
    await start();
    await page.click('text=Try now');
    await masthead(/Ready/);
    expect(await page.getAttribute('main', 'data-link')).toBe('live');
    // The log of the new process, not of the old one.
    const events = (await page.textContent('.events')) ?? '';
    expect(events.match(/started/g)).toHaveLength(1);
  });

  it('that the node has stopped', async () => {
    const node = await open([{ kind: 'os' }]);
    await masthead(/Ready/);
    await node.stop('SIGTERM');
    await masthead(/The node has stopped/);
  });
});
