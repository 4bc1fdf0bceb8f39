import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BootReport } from '../../packages/lamplighter/dist/agent/boot.js';
import { needs } from '../../packages/lamplighter/src/needs.fixture.js';
import { Place } from '../place.fixture.js';
import { endAll, freePorts, partOf, run, untilStatus } from '../processes.fixture.js';
import { type PollenProcess, startNode, startPollen } from './pollen-process.fixture.js';

/* Our agent and our node, asking Debian's pollen and a pollen outlet of ours. */

needs(
  'pollen',
  'unshare',
  'mount',
)('a pollen server', () => {
  let place: Place;
  let debian: PollenProcess;
  let ours: { https: number };

  beforeAll(async () => {
    place = await Place.make();
    // Named by an address and by a CA that has nothing to do with the machine's own.
    await run(['ca', 'init', place.path('pollen-ca')]);
    await place.issue('relay', 'pollen', 'pollen', 'pollen-ca');
    debian = await startPollen(place.tls('pollen', 'pollen'));
    const ports = await freePorts('https', 'admin');
    ours = ports;
    const file = place.writeNode({
      name: 'relay',
      admin: ports.admin,
      sources: [{ kind: 'timing' }, { kind: 'os' }],
      outlets: [{ kind: 'pollen', https: { host: '127.0.0.1', port: ports.https } }],
    });
    startNode(file);
    await untilStatus(ports.admin, 'the node is ready', ({ state }) => state === 'ready');
  });

  afterAll(async () => {
    await debian.stop();
    await endAll();
    place.remove();
  });

  const debianOverTls = (): object => ({
    name: 'debian',
    url: `https://127.0.0.1:${debian.https}/`,
    ca: place.tls('pollen', 'pollen').ca,
  });
  const debianInTheClear = (): object => ({ name: 'clear', url: `http://127.0.0.1:${debian.http}/` });
  const oursOverTls = (): object => ({
    name: 'ours',
    url: `https://127.0.0.1:${ours.https}/`,
    ca: place.tls('machine').ca,
  });

  async function boot(pollen: readonly object[], rest: object = {}, ...flags: string[]) {
    const { nobody } = await freePorts('nobody');
    const file = place.writeAgent([nobody], { pollen, ...rest });
    const { code, stdout, stderr } = await run(['agent', '--once', '--json', ...flags, '--config', file]);
    return { code, report: JSON.parse(stdout) as BootReport, stderr };
  }

  it('stands in for a relay when it is pinned', async () => {
    const { code, report } = await boot([oursOverTls(), debianOverTls()], { require: 2 });
    expect(report).toMatchObject({
      seeded: true,
      beacons: 2,
      relays: [{ answered: false, reason: { code: 'ERR_UPSTREAM_UNREACHABLE' } }],
      pollen: [
        { name: 'ours', answered: true, counted: true, protocol: 'TLSv1.3' },
        { name: 'debian', answered: true, counted: true, protocol: 'TLSv1.3' },
      ],
      sources: { 'pollen/ours': 64, 'pollen/debian': 64 },
      seed: { folded: true },
      basis: [],
    });
    expect(code).toBe(0);
  });

  it('is mixed and no more when it is asked in the clear', async () => {
    const { code, report } = await boot([debianInTheClear()]);
    expect(report).toMatchObject({
      seeded: true,
      beacons: 0,
      pollen: [{ name: 'clear', answered: true, counted: false }],
      sources: { 'pollen/clear': 64 },
      seed: { folded: false },
    });
    expect(code).toBe(2);
    expect((await boot([debianInTheClear()], {}, '--strict')).code).toBe(1);
  });

  it('is nobody when it is not the one that was pinned', async () => {
    const swapped = { ...debianOverTls(), ca: place.tls('machine').ca };
    const { code, report } = await boot([swapped]);
    expect(report.pollen).toMatchObject([
      { answered: false, counted: false, reason: { code: 'ERR_UPSTREAM_CERTIFICATE' } },
    ]);
    expect(code).toBe(2);
  });

  it('is asked by code that a boot without one does not wait for', async () => {
    const inDist = new URL(
      '../../packages/lamplighter/dist/local/loaded-modules.fixture.js',
      import.meta.url,
    );
    const hook = `import { register } from 'node:module'; register(${JSON.stringify(inDist.href)});`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` };
    const loaded = async (pollen: readonly object[]): Promise<boolean> => {
      const file = place.writeAgent([(await freePorts('nobody')).nobody], { pollen });
      const { stdout } = await run(['agent', '--once', '--config', file], { env });
      const modules = stdout.split('\n').filter((line) => line.startsWith('file:'));
      expect(modules.length).toBeGreaterThan(0);
      return modules.some((url) =>
        readFileSync(fileURLToPath(url), 'utf8').includes('function fetchPollen('),
      );
    };
    expect(await loaded([debianInTheClear()])).toBe(true);
    expect(await loaded([])).toBe(false);
  });

  it('is a source of a node, which earns nothing by it', async () => {
    const { admin } = await freePorts('admin');
    const file = place.writeNode({
      name: 'consumer',
      as: 'service',
      admin,
      sources: [{ kind: 'os' }, { kind: 'pollen', ...debianOverTls(), periodMs: 1_000 }],
    });
    startNode(file);
    const status = await untilStatus(
      admin,
      'the pollen server is heard',
      (now) => now.state === 'ready' && partOf(now, 'sources', 'debian').bytes >= 128,
    );
    expect(partOf(status, 'sources', 'debian')).toMatchObject({
      kind: 'pollen',
      state: 'ok',
      basis: { physical: false },
      details: { secrecy: 'pinned', protocol: 'TLSv1.3', failures: 0 },
    });
    expect(status.basis).toEqual([]);
  });
});
