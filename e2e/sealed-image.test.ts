import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BootReport } from '../packages/lamplighter/dist/agent/boot.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { MountNamespace } from './bootstrap/mount-namespace.fixture.js';
import { Fleet, type WhoItIs, whoIsIn } from './image.fixture.js';
import { Command, run } from './processes.fixture.js';

/*
 * An image of a machine that had joined a fleet, with real processes: sealed, copied twice, each copy enrolled by a token of its own;
 * and copied without being sealed. Each machine sees its own disk at the same place. e2e/guest/sealed-image.test.ts does it with machines.
 */

const PROGRAM = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));
const MACHINE_ID = '/etc/machine-id';
const isRoot = process.geteuid?.() === 0;

needs(
  'unshare',
  'nsenter',
  'mount',
)('an image', () => {
  describe.skipIf(!isRoot || !existsSync(MACHINE_ID))(`(needs root and ${MACHINE_ID})`, () => {
    let fleet: Fleet;
    /** Where every machine finds its own disk. */
    let etc: string;
    let state: string;
    const machines: MountNamespace[] = [];

    beforeAll(async () => {
      fleet = await Fleet.make();
      etc = fleet.place.path('machine', 'etc');
      state = fleet.place.path('machine', 'state');
      mkdirSync(etc, { recursive: true });
      mkdirSync(state);
    });
    afterAll(async () => {
      await Promise.all(machines.map((machine) => machine.end()));
      await fleet.end();
    });

    const disk = (name: string, ...folders: string[]): string => fleet.place.path('disks', name, ...folders);
    const who = (name: string): WhoItIs => whoIsIn(disk(name, 'etc'), disk(name, 'state'));

    /** Switches a machine on. @param id - its machine id, as its first boot makes one */
    async function machine(name: string, id: string): Promise<MountNamespace> {
      mkdirSync(disk(name, 'etc'), { recursive: true });
      mkdirSync(disk(name, 'state'), { recursive: true });
      const on = await MountNamespace.make();
      machines.push(on);
      on.mount('--bind', disk(name, 'etc'), etc);
      on.mount('--bind', disk(name, 'state'), state);
      on.mount('--bind', fleet.place.write(`${name}-id`, `${id}\n`), MACHINE_ID);
      return on;
    }

    /** The enrolment port is in this process: it may not stand still meanwhile. */
    async function lamplighter(on: MountNamespace, ...args: string[]) {
      const [nsenter = '', ...rest] = [...on.prefix, process.execPath, PROGRAM, ...args];
      const child = spawn(nsenter, rest, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
      const [stdout, stderr] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        once(child, 'close'),
      ]);
      return { status: child.exitCode, stdout, stderr };
    }

    async function enroll(on: MountNamespace, name: string) {
      const token = `${disk(name, 'etc')}/token`;
      writeFileSync(token, await fleet.token(name), { mode: 0o600 });
      const relay = `https://127.0.0.1:${fleet.enrolment.port}`;
      const where = ['--dir', etc, '--state', state, '--token-file', `${etc}/token`];
      return lamplighter(on, 'enroll', '--relay', relay, ...where);
    }

    const boot = async (
      on: MountNamespace,
    ): Promise<{ code: number | null; report: BootReport; stderr: string }> => {
      const { status, stdout, stderr } = await lamplighter(
        on,
        'agent',
        '--once',
        '--json',
        '--config',
        `${etc}/agent.yaml`,
      );
      return { code: status, report: JSON.parse(stdout) as BootReport, stderr };
    };

    it('that was sealed makes machines that share nothing; one that was not is noticed', async () => {
      const original = await machine('original', 'a0'.repeat(16));
      const enrolled = await enroll(original, 'original');
      expect(enrolled.status, enrolled.stderr).toBe(0);
      expect(await boot(original)).toMatchObject({ code: 0, report: { hedge: 'on', beacons: 1 } });
      cpSync(disk('original'), disk('unsealed'), { recursive: true });
      const before = who('original');
      const secrets = ['state/seed', 'etc/identity.pem'].map((file) => readFileSync(disk('original', file)));

      const seal = ['agent', 'seal-image', '--config', `${etc}/agent.yaml`];
      const asked = await lamplighter(original, ...seal);
      expect(asked.status).toBe(64);
      expect(asked.stdout).toContain(`would remove ${state}/seed: the machine seed; overwriting it first`);
      expect(who('original')).toEqual(before);

      const sealed = await lamplighter(original, ...seal, '--yes');
      expect(sealed.status, sealed.stderr).toBe(0);
      expect(sealed.stdout).toContain(`removed ${state}/seed: the machine seed; overwritten first`);
      expect(sealed.stdout).toContain(`removed ${etc}/identity.pem:`);
      expect(sealed.stdout).toContain(`removed ${etc}/token: a token of enrolment`);
      expect(sealed.stdout).toContain(`remains ${etc}/ca.pem`);
      expect(sealed.stdout).toContain(`not ours ${MACHINE_ID}: `);
      expect(sealed.stderr).toContain('may still hold what was there');
      expect(filesIn(disk('original')).toSorted()).toEqual(
        ['etc/agent.yaml', 'etc/ca.pem', 'etc/enroll.lock', 'state/sealed', 'state/seed.lock'].toSorted(),
      );
      for (const file of filesIn(disk('original'))) {
        const bytes = readFileSync(disk('original', file));
        for (const secret of secrets) expect(bytes.includes(secret.subarray(-64)), file).toBe(false);
      }
      const doctor = await lamplighter(original, 'doctor', '--state', state, '--json');
      expect(doctor.stdout, doctor.stderr).toMatch(/"text": ?"sealed at /);
      const again = await lamplighter(original, ...seal, '--yes');
      expect(again).toMatchObject({ status: 0 });
      expect(again.stdout).toContain('nothing to remove');

      const copies: WhoItIs[] = [];
      for (const [name, id] of [
        ['one', 'b1'.repeat(16)],
        ['two', 'c2'.repeat(16)],
      ] as const) {
        cpSync(disk('original'), disk(name), { recursive: true });
        const on = await machine(name, id);
        const joined = await enroll(on, name);
        expect(joined.status, joined.stderr).toBe(0);
        expect(await boot(on)).toMatchObject({ code: 0, report: { hedge: 'on', beacons: 1 } });
        copies.push(who(name));
      }
      const all = [before, ...copies];
      for (const field of ['name', 'serial', 'key', 'seed'] as const) {
        expect(new Set(all.map((one) => one[field])).size, field).toBe(all.length);
      }

      const copied = await boot(await machine('unsealed', 'd3'.repeat(16)));
      expect(copied).toMatchObject({
        code: 0,
        report: { hedge: 'degraded', hedgeReason: { code: 'ERR_SEED_COPIED' }, seed: { folded: true } },
      });
      expect(copied.report.hedgeReason?.hint).toContain('enrol again');
      expect(copied.report.hedgeReason?.hint).toContain('seal images before copying');
    });

    it('is not made of a machine on which the agent runs', async () => {
      const on = await machine('busy', 'e4'.repeat(16));
      const joined = await enroll(on, 'busy');
      expect(joined.status, joined.stderr).toBe(0);
      const before = who('busy');
      // Outside of the machine's own mounts it sees the same files by their other name.
      const config = fleet.place.write('busy.yaml', {
        ...(JSON.parse(readFileSync(disk('busy', 'etc', 'agent.yaml'), 'utf8')) as object),
        tls: {
          ca: disk('busy', 'etc/ca.pem'),
          cert: disk('busy', 'etc/identity.pem'),
          key: disk('busy', 'etc/identity.pem'),
        },
        state: disk('busy', 'state'),
        report: disk('busy', 'state/agent.json'),
      });
      const agent = new Command(['agent', '--config', config, '--json']);
      await expect.poll(() => agent.stdout, { timeout: 20_000 }).toContain('"seeded":true');
      const refused = await run(['agent', 'seal-image', '--config', config, '--yes']);
      expect(refused).toMatchObject({ code: 1 });
      expect(refused.stderr).toContain(`an agent, process ${agent.pid}, runs on`);
      expect(refused.stderr).toContain('[ERR_SEAL]');
      expect(who('busy').key).toBe(before.key);
      await agent.stop();
      const sealed = await run(['agent', 'seal-image', '--config', config, '--yes']);
      expect(sealed).toMatchObject({ code: 0 });
      expect(() => who('busy')).toThrow('ENOENT');
    });

    it('is not made of a machine on which a node runs, and takes what the node keeps with it', async () => {
      const { place, relay } = fleet;
      const config = place.writeAgent([1], {
        tls: place.tls('machine'),
        state: 'lone',
        report: 'lone/agent.json',
      });
      const sealing = [
        'agent',
        'seal-image',
        '--config',
        config,
        '--node-config',
        place.path('relay.yaml'),
        '--yes',
      ];
      const refused = await run(sealing);
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toContain(`a node runs on ${place.path('state/relay')}`);
      const { key } = place.tls('relay');
      expect(existsSync(key)).toBe(true);
      await relay.stop();
      const sealed = await run(sealing);
      expect(sealed, sealed.stderr).toMatchObject({ code: 0 });
      for (const path of [key, place.path('state/relay/seed'), place.path('state/relay/start-number')]) {
        expect(sealed.stdout).toContain(`removed ${path}: `);
        expect(existsSync(path)).toBe(false);
      }
    });
  });
});

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(`${folder}/${name}`).isFile(),
  );
