import net from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { ServiceManagerSocket } from '../packages/lamplighter/dist/local/service-manager.fixture.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { Place } from './place.fixture.js';
import { Command, endAll, freePorts, untilStatus } from './processes.fixture.js';

let place: Place;
let ports: Record<'listen' | 'admin', number>;

beforeAll(async () => {
  place = await Place.make();
});
beforeEach(async () => {
  ports = await freePorts('listen', 'admin');
});
afterAll(() => place.remove());
afterEach(endAll);

const OWN = [{ kind: 'timing' }, { kind: 'os' }];

function write(sources: readonly object[], rest: { seedDeadlineMs?: number } = {}): string {
  return place.writeNode({ name: 'relay', ...ports, sources, outlets: [{ kind: 'beacon' }], ...rest });
}

needs('python3', 'systemd-notify')('what a node tells its service manager', () => {
  let manager: ServiceManagerSocket;
  beforeEach(async () => {
    manager = await ServiceManagerSocket.listen();
  });
  afterEach(() => manager.end());

  const start = (file: string, env: NodeJS.ProcessEnv = {}): Command =>
    new Command(['node', '--config', file], { env: { NOTIFY_SOCKET: manager.path, ...env } });

  it('is that it is up once it is seeded, and not when it listens', async () => {
    const trng = net.createServer().listen(0, '127.0.0.1');
    const spoke = new Promise<net.Socket>((resolve) => trng.once('connection', resolve));
    await new Promise((resolve) => trng.once('listening', resolve));
    const { port } = trng.address() as net.AddressInfo;
    const from = { connect: `tcp:127.0.0.1:${port}` };
    const node = start(
      write([{ kind: 'process', name: 'trng', required: true, from }, ...OWN], { seedDeadlineMs: 500 }),
    );
    const socket = await spoke;
    socket.on('error', () => undefined);
    await untilStatus(ports.admin, 'it waits for the source', ({ reasons }) =>
      reasons.some(({ message }) => message.includes('trng')),
    );
    // A reload makes it no more ready.
    node.signal('SIGHUP');
    await untilStatus(ports.admin, 'it was reloaded', ({ configuration }) => configuration.reloads === 1);
    expect(manager.count('READY=1')).toBe(0);
    expect(manager.words[0]?.[0]).toBe('EXTEND_TIMEOUT_USEC=60000000');
    socket.write(Buffer.alloc(64, 7));
    await manager.until((heard) => heard.count('READY=1') === 1);
    await untilStatus(ports.admin, 'it is seeded', ({ generator }) => generator.seeded);
    expect(await node.stop()).toMatchObject({ code: 0 });
    socket.destroy();
    trng.close();
  });

  it('is a sign of life twice in each period of the watchdog, a reload from its begin to its end, and its end', async () => {
    const node = start(write(OWN), { WATCHDOG_USEC: '400000' });
    await manager.until((heard) => heard.count('WATCHDOG=1') >= 3);
    expect(manager.words.flat().indexOf('READY=1')).toBeLessThan(manager.words.flat().indexOf('WATCHDOG=1'));

    const beforeUs = process.hrtime.bigint() / 1_000n;
    node.signal('SIGHUP');
    await manager.until((heard) => heard.count('READY=1') === 2);
    const reload = manager.words.find(([first]) => first === 'RELOADING=1');
    const sinceUs = BigInt(/^MONOTONIC_USEC=(\d+)$/.exec(reload?.[1] ?? '')?.[1] ?? 0) - beforeUs;
    expect(sinceUs).toBeGreaterThanOrEqual(0n);
    expect(sinceUs).toBeLessThan(60_000_000n);

    place.write('relay.yaml', 'name: [');
    node.signal('SIGHUP');
    await manager.until((heard) => heard.count('READY=1') === 3);
    expect(manager.words.flat().findLast((word) => word.startsWith('STATUS='))).toBe(
      'STATUS=ready; the new configuration is not followed',
    );

    expect(await node.stop()).toMatchObject({ code: 0 });
    await manager.until((heard) => heard.count('STOPPING=1') === 1);
    expect(manager.words.at(-1)).toEqual(['STOPPING=1', 'STATUS=stopping']);
  });

  it('is nothing more when it could not start', async () => {
    const node = start(place.write('relay.yaml', { name: 'relay', sources: [] }));
    expect(await node.ended).toMatchObject({ code: 78 });
    expect(manager.words).toEqual([]);
  });

  it('is lost when nobody listens, which it says once and goes on', async () => {
    const node = start(write(OWN), { NOTIFY_SOCKET: place.path('nobody'), WATCHDOG_USEC: '200000' });
    await untilStatus(ports.admin, 'it is ready', ({ state }) => state === 'ready');
    await untilStatus(ports.admin, 'it is up a while', ({ uptimeMs }) => uptimeMs > 1_000);
    expect(await node.stop()).toMatchObject({ code: 0 });
    const warnings = node.stderr
      .split('\n')
      .filter((line) => line.includes('the service manager is not told'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('systemd-notify ended with code 1');
  });
});

it('without a service manager a node starts no child for one', async () => {
  const node = new Command(['node', '--config', write(OWN)], {
    env: { NOTIFY_SOCKET: undefined, WATCHDOG_USEC: '1000' },
  });
  await untilStatus(ports.admin, 'it is ready', ({ state }) => state === 'ready');
  expect(await node.stop()).toMatchObject({ code: 0 });
  expect(node.stderr).not.toContain('service manager');
});
