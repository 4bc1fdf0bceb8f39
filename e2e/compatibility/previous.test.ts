import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Command, endAll, freePorts, partOf, run, untilStatus } from '../processes.fixture.js';

/*
 * Today's build and one of the release before, with real processes: whoever serves, the other enrols there, gets beacons, follows the
 * feed and renews; and each goes on with what the other left on a disk. LAMPLIGHTER_PREVIOUS is a tree that scripts/built-tree.mjs made
 * (docs/RELEASING.md); without it there is nothing to compare with, and e2e/compatibility/wire.test.ts alone keeps the formats.
 */

const TODAY = fileURLToPath(new URL('../..', import.meta.url));
const PREVIOUS = process.env['LAMPLIGHTER_PREVIOUS'] ?? '';
const programOf = (tree: string): string => path.join(tree, 'packages/lamplighter/bin/lamplighter.js');
const BUILDS = { today: programOf(TODAY), previous: programOf(PREVIOUS) } as const;
type Build = keyof typeof BUILDS;

interface Boot {
  readonly seeded: boolean;
  readonly beacons: number;
  readonly hedge: string;
  readonly seed: { readonly folded: boolean };
}

const title =
  PREVIOUS === ''
    ? 'the release before (LAMPLIGHTER_PREVIOUS names none)'
    : `the release before, ${path.basename(PREVIOUS)}`;

describe.skipIf(PREVIOUS === '')(title, () => {
  it('is another build', () => {
    expect(existsSync(BUILDS.previous)).toBe(true);
    expect(path.resolve(PREVIOUS)).not.toBe(path.resolve(TODAY));
  });

  describe.each([
    ['today', 'previous'],
    ['previous', 'today'],
  ] as const)('the server of %s, the client of %s', (server, client) => {
    let folder: string;
    let ports: Record<'listen' | 'enroll' | 'admin' | 'follower', number>;
    const at = (...names: string[]): string => path.join(folder, ...names);

    async function lamplighter(build: Build, ...args: string[]): Promise<string> {
      const { code, stdout, stderr } = await run(args, { program: BUILDS[build] });
      if (code !== 0) throw new Error(`${build}: lamplighter ${args.join(' ')}: code ${code}: ${stderr}`);
      return stdout;
    }
    const write = (name: string, content: object): string => {
      writeFileSync(at(name), JSON.stringify(content));
      return at(name);
    };
    const start = (build: Build, config: string) =>
      new Command(['node', '--config', config], { program: BUILDS[build] });
    const agentOnce = async (build: Build): Promise<Boot> =>
      JSON.parse(
        await lamplighter(build, 'agent', '--once', '--json', '--config', at('etc/agent.yaml')),
      ) as Boot;
    const enroll = async (build: Build, dir: string, ...more: string[]): Promise<void> => {
      const relay = `https://127.0.0.1:${ports.enroll}`;
      const where = ['--dir', at(dir), '--state', at(`${dir}-state`), '--token-file', at(`${dir}.token`)];
      await lamplighter(build, 'enroll', '--relay', relay, '--no-boot', ...where, ...more);
    };
    const token = async (dir: string, ...more: string[]): Promise<void> => {
      const made = await lamplighter(server, 'token', 'create', '--ca', at('ca'), ...more);
      writeFileSync(at(`${dir}.token`), made, { mode: 0o600 });
    };

    beforeAll(async () => {
      folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-previous-'));
      ports = await freePorts('listen', 'enroll', 'admin', 'follower');
      await lamplighter(server, 'ca', 'init', at('ca'));
      const relay = ['--role', 'relay', '--name', 'relay', '--ip', '127.0.0.1', '--out', at('relay')];
      await lamplighter(server, 'ca', 'issue', '--ca', at('ca'), ...relay);
      const config = write('relay.yaml', {
        name: 'relay',
        state: 'relay-state',
        tls: { ca: 'relay/ca.pem', cert: 'relay/relay.pem', key: 'relay/relay.key' },
        listen: { host: '127.0.0.1', port: ports.listen },
        admin: { port: ports.admin },
        authority: { folder: 'ca', enroll: { host: '127.0.0.1', port: ports.enroll } },
        sources: [{ kind: 'timing' }, { kind: 'os' }],
        outlets: [{ kind: 'beacon' }, { kind: 'feed' }],
      });
      start(server, config);
      await untilStatus(ports.admin, 'the relay is ready', ({ state }) => state === 'ready');
    });
    afterAll(async () => {
      await endAll();
      rmSync(folder, { recursive: true, force: true });
    });

    it('a machine enrols, gets beacons and renews', async () => {
      await token('etc', '--name', 'web-1');
      await enroll(client, 'etc');
      expect(await agentOnce(client)).toMatchObject({
        seeded: true,
        beacons: 1,
        hedge: 'on',
        seed: { folded: true },
      });
      const before = readFileSync(at('etc/identity.pem'), 'utf8');
      const said = await lamplighter(client, 'agent', 'renew', '--config', at('etc/agent.yaml'));
      expect(said).toContain('machine web-1: renewed by');
      expect(readFileSync(at('etc/identity.pem'), 'utf8')).not.toBe(before);
      expect(await agentOnce(client)).toMatchObject({ beacons: 1 });
    });

    it('a relay enrols and follows the feed', async () => {
      await token('follower', '--role', 'relay', '--name', 'follower', '--ip', '127.0.0.1');
      await enroll(client, 'follower', '--role', 'relay');
      const config = write('follower.yaml', {
        name: 'follower',
        state: 'follower-state',
        tls: { ca: 'follower/ca.pem', cert: 'follower/identity.pem', key: 'follower/identity.pem' },
        admin: { port: ports.follower },
        authority: { url: `https://127.0.0.1:${ports.listen}` },
        sources: [
          { kind: 'os' },
          { kind: 'feed', name: 'upstream', url: `https://127.0.0.1:${ports.listen}`, intervalMs: 100 },
        ],
      });
      start(client, config);
      const status = await untilStatus(
        ports.follower,
        'frames are heard, and the policy is known',
        (seen) =>
          seen.state === 'ready' &&
          seen.fleet?.policy !== undefined &&
          partOf(seen, 'sources', 'upstream').bytes >= 3 * 64,
      );
      expect(partOf(status, 'sources', 'upstream')).toMatchObject({ state: 'ok' });
    });

    it('the other build goes on with what this one left on the disk', async () => {
      expect(await agentOnce(server)).toMatchObject({
        seeded: true,
        beacons: 1,
        hedge: 'on',
        seed: { folded: true },
      });
      expect(await agentOnce(client)).toMatchObject({
        seeded: true,
        beacons: 1,
        hedge: 'on',
        seed: { folded: true },
      });
    });
  });
});
