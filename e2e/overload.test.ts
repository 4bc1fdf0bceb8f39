import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Place } from './place.fixture.js';
import { residentBytes } from './proc.fixture.js';
import { Command, endAll, eventually, freePorts, untilStatus } from './processes.fixture.js';
import { storm } from './storm.fixture.js';

const STORM_MS = 10_000;
const STORMERS = ['storm-1', 'storm-2', 'storm-3'];
/** What V8 keeps of a heap that was in use is not given back at once. Measured: 20 to 60 MiB. */
const MAX_GROWTH_BYTES = 128 * 1024 * 1024;

let place: Place;
beforeAll(async () => {
  place = await Place.make();
  for (const name of STORMERS) await place.issue('machine', name, 'certificates');
});
afterAll(() => place.remove());
afterEach(endAll);

/** Asks the admin listener for its health until the signal fires. @returns how long each answer took, in ms */
async function watchHealth(port: number, signal: AbortSignal): Promise<number[]> {
  const tookMs: number[] = [];
  while (!signal.aborted) {
    const startedMs = performance.now();
    const response = await fetch(`http://127.0.0.1:${port}/healthz`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(10_000),
    });
    expect(await response.text()).toBe('ok\n');
    tookMs.push(performance.now() - startedMs);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return tookMs;
}

describe('a relay asked for far more than it can give', () => {
  it('gives whole beacons or proper refusals, serves the quiet, keeps its admin listener, and recovers', async () => {
    const { listen, admin } = await freePorts('listen', 'admin');
    const file = place.writeNode({
      name: 'relay',
      listen,
      admin,
      sources: [{ kind: 'timing' }, { kind: 'os' }],
      outlets: [{ kind: 'beacon' }],
    });
    const node = new Command(['node', '--config', file]);
    await untilStatus(admin, 'the relay is ready', ({ state }) => state === 'ready');
    const before = residentBytes(node.pid);

    const over = new AbortController();
    const health = watchHealth(admin, over.signal);
    const [first, second, third] = STORMERS.map((name) => ({
      port: listen,
      forMs: STORM_MS,
      tls: place.tls(name),
    }));
    if (first === undefined || second === undefined || third === undefined) throw new Error('three storm');
    const harvests = await Promise.all([
      storm({ ...first, from: '127.0.0.1', fresh: 100, silent: 100, stalled: 50 }),
      storm({ ...second, from: '127.0.0.1', fresh: 100, silent: 100, stalled: 50 }),
      storm({ ...third, from: '127.0.0.3', held: 32 }),
      // The quiet one, from elsewhere.
      storm({
        port: listen,
        forMs: STORM_MS,
        tls: place.tls('machine'),
        from: '127.0.0.9',
        fresh: 1,
        restMs: 200,
      }),
    ]);
    over.abort();
    const tookMs = await health;

    expect(harvests.flatMap(({ wrong }) => wrong)).toEqual([]);
    const refusals = new Set(harvests.flatMap((harvest) => Object.keys(harvest.refusals)));
    const proper = ['503 ERR_OVERLOADED', '503 ERR_TOO_MANY_CONNECTIONS', '429 ERR_QUOTA'];
    expect([...refusals].filter((refusal) => !proper.includes(refusal))).toEqual([]);
    const beacons = harvests.flatMap((harvest) => harvest.beacons);
    expect(new Set(beacons).size).toBe(beacons.length);
    expect(harvests[3]?.beacons.length).toBeGreaterThan(0);
    expect(harvests[2]?.beacons.length).toBeGreaterThan(0);
    expect(tookMs.length).toBeGreaterThan(5);

    await untilStatus(admin, 'the relay is still ready', ({ state }) => state === 'ready');
    await eventually('its memory is back', () => residentBytes(node.pid) < before + MAX_GROWTH_BYTES);
    expect((await node.stop()).code).toBe(0);
    for (const line of node.stderr.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
  });
});
