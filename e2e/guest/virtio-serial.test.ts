import { rmSync } from 'node:fs';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { CARRIER_PORT, encodeCarrierFrame } from '../../packages/lamplighter/dist/wire/carrier.js';
import { Place } from '../place.fixture.js';
import { Command, endAll, eventually, freePorts, untilStatus } from '../processes.fixture.js';
import { bootGuest, endGuests, type Guest } from './guest.fixture.js';
import { isFull } from '../../packages/lamplighter/dist/needs.fixture.js';
import { needsGuest } from './kernel.fixture.js';

const PROGRAM = fileURLToPath(new URL('../../packages/lamplighter/bin/lamplighter.js', import.meta.url));
const DEVICE = `/dev/virtio-ports/${CARRIER_PORT}`;
/** Of the guest's time: Node takes some seconds to start on an emulated processor. */
const AGENT_MS = 60_000;

/** What an agent in a guest has done. */
interface Boot {
  readonly code: number;
  readonly report: {
    readonly beacons: number;
    readonly relays: readonly { name: string; answered: boolean; reason?: { code: string; text: string } }[];
    readonly kernel: object;
  };
}

needsGuest()('an agent in a guest without a network', () => {
  /** Each takes a minute or more. */
  const itFull = it.runIf(isFull);
  let place: Place;
  let admin: number;
  let relay: Command;
  const socket = (name: string): string => place.path('run', `${name}.sock`);

  beforeAll(async () => {
    place = await Place.make();
    await place.issue('machine', 'guest-b', 'certificates');
    ({ admin } = await freePorts('admin'));
    place.write('relay.yaml', {
      name: 'relay',
      state: 'state/relay',
      tls: place.tls('relay'),
      admin: { port: admin },
      sources: [{ kind: 'os' }],
      outlets: [{ kind: 'beacon' }],
      carriers: [
        { name: 'guests', listen: socket('guests') },
        { name: 'guest-b', connect: place.path('guest-b.sock') },
      ],
    });
    for (const [name, holder] of [
      ['a', 'machine'],
      ['b', 'guest-b'],
    ] as const) {
      const agent = {
        tls: place.tls(holder),
        relays: [{ name: 'host', url: 'https://relay', device: DEVICE }],
        state: '/run/state',
        report: '/run/report.json',
        deadlineMs: 20_000,
        refreshMs: 1_000,
      };
      place.write(`${name}.json`, agent);
    }
    await startRelay();
  }, 60_000);

  afterEach(async () => {
    await endGuests();
    relay.signal('SIGCONT');
    if (!relay.isRunning) await startRelay();
  });

  afterAll(async () => {
    await endGuests();
    await endAll();
    place.remove();
  });

  async function startRelay(): Promise<void> {
    relay = new Command(['node', '--config', place.path('relay.yaml')]);
    await untilStatus(admin, 'the relay is ready', ({ state }) => state === 'ready' || state === 'degraded');
  }

  /** QEMU connects to the node's socket. */
  const connecting = (...more: readonly string[]): Promise<Guest> =>
    bootGuest({ devices: [...port(`path=${socket('guests')},reconnect=1`), ...more] });
  /** QEMU listens, and the node connects. */
  const listening = (): Promise<Guest> => {
    rmSync(place.path('guest-b.sock'), { force: true });
    return bootGuest({ devices: port(`path=${place.path('guest-b.sock')},server=on,wait=off`) });
  };
  const command = (name: string, more: string): string =>
    `'${process.execPath}' '${PROGRAM}' agent ${more} --config '${place.path(`${name}.json`)}'`;

  async function boot(guest: Guest, name: string): Promise<Boot> {
    const { code, stdout, stderr } = await guest.run(command(name, '--once --json'), {
      timeoutMs: AGENT_MS,
    });
    try {
      return { code, report: JSON.parse(stdout) as Boot['report'] };
    } catch (cause) {
      throw new Error(`code ${code}: ${stdout}${stderr}`, { cause });
    }
  }

  const lineOf = async (name: string) =>
    (await untilStatus(admin, 'a status', () => true)).carriers?.find((carrier) => carrier.name === name);

  it('gets a beacon and seeds its kernel', async () => {
    const guest = await connecting();
    expect(await guest.succeed('ls /sys/class/net')).toBe('lo');
    const { code, report } = await boot(guest, 'a');
    expect(report).toMatchObject({ beacons: 1, seeded: true, relays: [{ name: 'host', answered: true }] });
    expect(code).toBe(0);
    expect(await lineOf('guests')).toMatchObject({ lines: 1, sessions: 1, garbageBytes: 0 });
    // The port is free again, and nobody holds it.
    expect(await holders(guest)).toBe('');
  }, 240_000);

  itFull(
    'again, on either kind of socket, two guests at once',
    async () => {
      const { sessions } = (await lineOf('guests')) ?? { sessions: 0 };
      const [a, b] = await Promise.all([connecting(), listening()]);
      const boots = await Promise.all([boot(a, 'a'), boot(b, 'b')]);
      for (const { code, report } of boots) {
        expect(report).toMatchObject({ beacons: 1, seeded: true });
        expect(code).toBe(0);
      }
      expect(await lineOf('guests')).toMatchObject({ lines: 1, sessions: sessions + 1, garbageBytes: 0 });
      expect(await lineOf('guest-b')).toMatchObject({ lines: 1, sessions: 1, garbageBytes: 0 });
      expect(await boot(a, 'a')).toMatchObject({ code: 0, report: { beacons: 1 } });
    },
    240_000,
  );

  /** Begins a boot, and stops the host in the middle of its exchange. @returns the agent's process in the guest */
  async function askInVain(guest: Guest): Promise<string> {
    const sessionsOf = async (): Promise<number> => (await lineOf('guests'))?.sessions ?? 0;
    const before = await sessionsOf();
    await guest.succeed(
      `rm -f /run/report.json; ${command('a', '--once')} >/run/out 2>&1 & echo $! >/run/pid`,
    );
    await eventually('a session', async () => (await sessionsOf()) > before, AGENT_MS);
    relay.signal('SIGSTOP');
    expect(await holders(guest)).toContain('vport0p2');
    return guest.succeed('test ! -e /run/report.json && cat /run/pid');
  }

  itFull(
    'is killed in the middle of an exchange, and asks again',
    async () => {
      const guest = await connecting();
      await guest.succeed(`kill -9 ${await askInVain(guest)}`);
      await eventually('nobody holds the port', async () => (await holders(guest)) === '', 10_000);
      relay.signal('SIGCONT');
      expect(await boot(guest, 'a')).toMatchObject({ code: 0, report: { beacons: 1 } });
    },
    240_000,
  );

  itFull(
    'is rebooted in the middle of an exchange, and of a frame, and asks again',
    async () => {
      const guest = await connecting('-action', 'reboot=reset');
      await guest.succeed(`kill -9 ${await askInVain(guest)}`);
      await eventually('nobody holds the port', async () => (await holders(guest)) === '', 10_000);
      const half = encodeCarrierFrame('data', 1n, new Uint8Array(4_096).fill(7)).subarray(0, 1_000);
      await guest.succeed(`echo '${half.toString('base64')}' | base64 -d >/dev/vport0p2`);
      const id = 'cat /proc/sys/kernel/random/boot_id';
      const before = await guest.succeed(id);
      await guest.run('echo b >/proc/sysrq-trigger', { timeoutMs: 1_000 }).catch(() => undefined);
      expect(await guest.succeed(id, { timeoutMs: 60_000 })).not.toBe(before);
      relay.signal('SIGCONT');
      expect(await boot(guest, 'a')).toMatchObject({ code: 0, report: { beacons: 1 } });
    },
    240_000,
  );

  itFull(
    'stays, and finds its host again when the node was killed and started anew',
    async () => {
      const guest = await listening();
      await guest.succeed(`${command('b', '')} >/run/agent.log 2>&1 & echo`);
      const answered = async (): Promise<boolean> => {
        const { stdout } = await guest.run('cat /run/report.json');
        return stdout.includes('"answered":true') || /"answered": true/.test(stdout);
      };
      await eventually('a first beacon', answered, AGENT_MS);
      await relay.stop('SIGKILL');
      await eventually('it is missed', async () => !(await answered()), AGENT_MS);
      const missed = await guest.succeed('cat /run/report.json');
      expect(missed).toContain('ERR_UPSTREAM_UNREACHABLE');
      expect(missed).toContain("nobody is at the host's end of");
      await startRelay();
      await eventually('a beacon of the new node', answered, AGENT_MS);
    },
    240_000,
  );

  itFull(
    'is not disturbed by another guest that sends garbage, floods, and never reads',
    async () => {
      const guest = await connecting();
      const hostile = net.connect(socket('guests'));
      hostile.on('error', () => undefined);
      const open = Buffer.concat([1n, 2n, 3n].map((session) => encodeCarrierFrame('open', session)));
      const noise = Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 167 + (i >> 8)) & 0xff));
      const flood = (): void => {
        while (!hostile.destroyed && hostile.write(open) && hostile.write(noise));
      };
      hostile.on('drain', flood);
      flood();
      expect(await boot(guest, 'a')).toMatchObject({ code: 0, report: { beacons: 1 } });
      const line = await lineOf('guests');
      expect(line?.garbageBytes).toBeGreaterThan(65_536);
      expect(line?.lines).toBe(2);
      hostile.destroy();
    },
    120_000,
  );

  itFull(
    'says what is missing',
    async () => {
      const guest = await bootGuest();
      const { code, report } = await boot(guest, 'a');
      expect(code).toBe(2);
      expect(report.relays[0]?.reason).toMatchObject({ code: 'ERR_SOURCE_ABSENT' });
      await guest.kill();

      const alone = await bootGuest({
        devices: port(`path=${place.path('nobody.sock')},server=on,wait=off`),
      });
      const { report: unheard } = await boot(alone, 'a');
      expect(unheard.relays[0]?.reason).toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
    },
    120_000,
  );
});

function port(chardev: string): string[] {
  const device = `virtserialport,bus=ports.0,nr=2,chardev=beacons,name=${CARRIER_PORT}`;
  return ['-chardev', `socket,id=beacons,${chardev}`, '-device', device];
}

/** The processes in a guest that have its port open. */
function holders(guest: Guest): Promise<string> {
  return guest.succeed('ls -l /proc/[0-9]*/fd 2>/dev/null | grep -o "vport0p2" || true');
}
