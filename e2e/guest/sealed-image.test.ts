import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { BootReport } from '../../packages/lamplighter/dist/agent/boot.js';
import { Fleet, type WhoItIs, whoIsIn } from '../image.fixture.js';
import { bootGuest, endGuests, type Guest } from './guest.fixture.js';
import { needsGuest } from './kernel.fixture.js';

/*
 * An image of a machine that had joined a fleet, in virtual machines: sealed, cloned twice, and each clone enrols at its first boot by
 * a token that cloud-init would write, by the very lines of deploy/systemd/lamplighter-enroll.service. And one that was not sealed.
 * What lies on a machine's disk is a folder of the host, mounted where it belongs; a clone is a copy of it. Its hardware is its UUID.
 */

const PROGRAM = fileURLToPath(new URL('../../packages/lamplighter/bin/lamplighter.js', import.meta.url));
const UNIT = fileURLToPath(new URL('../../deploy/systemd/lamplighter-enroll.service', import.meta.url));
/** This host's 127.0.0.1 as QEMU's user-mode network shows it to a guest, and the guest itself. */
const HOST_ADDRESS = '10.0.2.2';
const GUEST_ADDRESS = '10.0.2.15';
const ETC = '/etc/lamplighter';
const STATE = '/var/lib/lamplighter';
/** An emulated processor on a busy host: Node takes seconds to start, and TLS as long. */
const PATIENT = { timeoutMs: 120_000 } as const;
const DEADLINE_MS = 60_000;
const WHOLE_MS = 900_000;

const isFull = (process.env['LAMPLIGHTER_FULL'] ?? '') !== '';

needsGuest()('an image in virtual machines', () => {
  let fleet: Fleet;

  beforeAll(async () => {
    fleet = await Fleet.make();
  });
  afterEach(endGuests);
  afterAll(async () => {
    await endGuests();
    await fleet.end();
  });

  const disk = (name: string, folder = ''): string => fleet.place.path('disks', name, folder);
  const who = (name: string): WhoItIs => whoIsIn(disk(name, 'etc'), disk(name, 'state'));

  /** Switches a machine on: its disk in place, its network up. */
  async function on(name: string, uuid: string): Promise<Guest> {
    const guest = await bootGuest({
      memoryMb: 768,
      share: disk(name),
      devices: [
        '-uuid',
        uuid,
        ...'-netdev user,id=net,ipv6=off -device virtio-net-pci,netdev=net'.split(' '),
      ],
    });
    await guest.succeed(`
      modprobe virtio_net && ifconfig eth0 ${GUEST_ADDRESS} netmask 255.255.255.0 up
      mkdir -p ${ETC} ${STATE} && mount --bind /share/etc ${ETC} && mount --bind /share/state ${STATE}
      printf '%s\\n' '#!/bin/sh' 'exec "${process.execPath}" "${PROGRAM}" "$@"' >/usr/local/bin/lamplighter
      chmod 755 /usr/local/bin/lamplighter`);
    expect(await guest.succeed('cat /sys/class/dmi/id/product_uuid')).toBe(uuid);
    return guest;
  }

  /** What cloud-init writes from deploy/cloud-init/lamplighter.yaml. */
  async function giveToken(name: string): Promise<void> {
    writeFileSync(disk(name, 'etc/token'), await fleet.token(name), { mode: 0o600 });
    const relay = `https://${HOST_ADDRESS}:${fleet.enrolment.port}`;
    // Not of a real machine: the certificate of this relay has another address, and this processor is emulated.
    const flags = `LAMPLIGHTER_ENROLL_FLAGS=--peer relay --deadline ${DEADLINE_MS}`;
    writeFileSync(disk(name, 'etc/enroll.env'), `LAMPLIGHTER_RELAY=${relay}\n${flags}\n`);
    chmodSync(disk(name, 'etc/enroll.env'), 0o644);
  }

  const enroll = (guest: Guest): Promise<string> =>
    guest.succeed(
      `${CONDITIONS.join(' && ')} && export $(grep -h RELAY ${ETC}/enroll.env) && ` +
        `export LAMPLIGHTER_ENROLL_FLAGS="$(sed -n 's/^LAMPLIGHTER_ENROLL_FLAGS=//p' ${ETC}/enroll.env)" && ${LINES.join(' && ')}`,
      PATIENT,
    );

  async function agent(guest: Guest): Promise<BootReport> {
    const { stdout, stderr } = await guest.run('lamplighter agent --once --json', PATIENT);
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as BootReport;
  }

  it.runIf(isFull)(
    'that was sealed makes two machines that share nothing; one that was not is noticed',
    async ({ annotate }) => {
      mkdirSync(disk('original', 'etc'), { recursive: true });
      mkdirSync(disk('original', 'state'));
      await giveToken('original');
      const original = await on('original', uuidOf('a'));
      await enroll(original);
      expect(existsSync(disk('original', 'etc/token'))).toBe(false);
      const config = JSON.parse(readFileSync(disk('original', 'etc/agent.yaml'), 'utf8')) as object;
      writeFileSync(
        disk('original', 'etc/agent.yaml'),
        JSON.stringify({ ...config, deadlineMs: DEADLINE_MS }),
      );
      expect(await agent(original)).toMatchObject({ seeded: true, beacons: 1, hedge: 'on' });
      const before = who('original');
      cpSync(disk('original'), disk('unsealed'), { recursive: true });
      const said = await original.succeed('lamplighter agent seal-image --yes', PATIENT);
      await annotate(said);
      expect(said).toContain(`removed ${STATE}/seed: the machine seed; overwritten first`);
      expect(said).toContain(`removed ${ETC}/identity.pem: `);
      expect(said).toContain(`remains ${ETC}/agent.yaml`);
      expect(() => who('original')).toThrow('ENOENT');
      await original.powerOff();

      const machines = [before];
      for (const [name, letter] of [
        ['one', 'b'],
        ['two', 'c'],
      ] as const) {
        cpSync(disk('original'), disk(name), { recursive: true });
        await giveToken(name);
        const clone = await on(name, uuidOf(letter));
        await enroll(clone);
        expect(await agent(clone)).toMatchObject({ seeded: true, beacons: 1, hedge: 'on' });
        machines.push(who(name));
        await clone.kill();
      }
      for (const field of ['name', 'serial', 'key', 'seed'] as const) {
        expect(new Set(machines.map((one) => one[field])).size, field).toBe(machines.length);
      }

      const copy = await on('unsealed', uuidOf('d'));
      expect(await agent(copy)).toMatchObject({
        seeded: true,
        hedge: 'degraded',
        hedgeReason: { code: 'ERR_SEED_COPIED', hint: expect.stringContaining('enrol again') as string },
        seed: { folded: true },
      });
      // It is the same machine to its relay until somebody enrols it again, and no longer the same to itself.
      expect(who('unsealed')).toMatchObject({ name: before.name, key: before.key });
      expect(who('unsealed').seed).not.toBe(before.seed);
      await giveToken('unsealed');
      const relay = `https://${HOST_ADDRESS}:${fleet.enrolment.port}`;
      await copy.succeed(
        `lamplighter enroll --relay ${relay} --peer relay --token-file ${ETC}/token --no-boot --deadline ${DEADLINE_MS}`,
        PATIENT,
      );
      expect(await agent(copy)).toMatchObject({ seeded: true, beacons: 1, hedge: 'on' });
      expect(who('unsealed').key).not.toBe(before.key);
    },
    WHOLE_MS,
  );

  it('is told of by the unit that enrols its copies: only with a token, only without an identity', () => {
    expect(CONDITIONS).toEqual([
      `[ -e ${path.join(ETC, 'token')} ]`,
      `[ ! -e ${path.join(ETC, 'identity.pem')} ]`,
    ]);
    expect(LINES).toHaveLength(2);
  });
});

const uuidOf = (letter: string): string => `11111111-2222-4333-8444-${letter.repeat(12)}`;

/** Of the unit: what must be there for it to start, and what it runs, as lines of a shell. */
const [CONDITIONS, LINES] = ((): [string[], string[]] => {
  const of = (key: string): string[] =>
    readFileSync(UNIT, 'utf8')
      .split('\n')
      .flatMap((line) => (line.startsWith(`${key}=`) ? [line.slice(key.length + 1)] : []));
  const conditions = of('ConditionPathExists').map((condition) =>
    condition.startsWith('!') ? `[ ! -e ${condition.slice(1)} ]` : `[ -e ${condition} ]`,
  );
  return [conditions, [...of('ExecStart'), ...of('ExecStartPost')]];
})();
