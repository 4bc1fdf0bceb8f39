import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Place } from '../place.fixture.js';
import { Command, eventually, freePorts, partOf, run, untilStatus } from '../processes.fixture.js';
import { clientRandoms, readCapture, type Segment, sentOnOldConnections } from './capture.fixture.js';
import type { Drawn, WitnessOptions } from './clone-witness.fixture.js';
import { closure, packageClosure } from './closure.fixture.js';
import { type Guest, type GuestOptions, bootGuest } from './guest.fixture.js';
import { StallingProxy } from './stalling-proxy.fixture.js';

// By the name under which programs import it: so it stands in the guest too.
const PACKAGE = fileURLToPath(new URL('../../node_modules/lamplighter', import.meta.url));
const WITNESS = fileURLToPath(new URL('../dist/guest/clone-witness.fixture.js', import.meta.url));
/** The program starts every child by it. */
const SETPRIV = '/usr/bin/setpriv';
const PROGRAM = `${PACKAGE}/bin/lamplighter.js`;

/** Node starts in seconds in an emulated guest, and in a minute where the host is busy with other things. */
const PATIENT = { timeoutMs: 150_000 } as const;

/** What the snapshot is taken with, and what a copy may have instead. */
export const GENERATIONS = {
  same: '11111111-2222-3333-4444-555555555555',
  new: ['99999999-8888-7777-6666-555555555501', '99999999-8888-7777-6666-555555555502'],
} as const;

/** QEMU's user-mode network: the guest, and this host's 127.0.0.1 as it sees it. */
const GUEST_ADDRESS = '10.0.2.15';
const HOST_ADDRESS = '10.0.2.2';
const AGENT_SOCKET = '/run/lamplighter/egd.sock';
const BURST_PORT = 'org.openmirage.entropy.1';

/** The hardware clock is looked at once a second, has seconds, and parts by more than two. */
const LEAST_AGE_MS = 5_000;

/** What a restored guest is given besides its state. */
export interface Restore {
  readonly generation: string;
  /** Whether its virtio-rng gets bytes of this host; it is always there. */
  readonly hostRandom?: boolean;
}

/** One saved guest, and how to restore it. */
export class Snapshot {
  readonly #place: Place;
  readonly #name: string;
  readonly #options: GuestOptions;
  #count = 0;

  constructor(place: Place, name: string, options: GuestOptions) {
    this.#place = place;
    this.#name = name;
    this.#options = options;
  }

  /** The file the state is in. */
  get file(): string {
    return this.#place.path(`${this.#name}.state`);
  }

  /** Boots the guest whose state will be saved. */
  boot(): Promise<Guest> {
    const burst = this.#place.path('lines', `${this.#name}.sock`);
    const first = devices({ generation: GENERATIONS.same, hostRandom: true, burst });
    return bootGuest({ ...this.#options, devices: first });
  }

  async restore({ generation, hostRandom = false }: Restore): Promise<Copy> {
    this.#count += 1;
    // A younger one is not told by the hardware clock.
    await eventually(
      'the snapshot has an age',
      () => Date.now() - statSync(this.file).mtimeMs > LEAST_AGE_MS,
    );
    const capture = this.#place.path(`${this.#name}-${this.#count}.pcap`);
    const burst = this.#place.path('lines', `${this.#name}-${this.#count}.sock`);
    const guest = await bootGuest({
      ...this.#options,
      savedState: this.file,
      devices: [
        ...devices({ generation, hostRandom, burst }),
        '-object',
        `filter-dump,id=capture,netdev=net,file=${capture}`,
      ],
    });
    return new Copy(guest, capture, `${this.#name}-${this.#count}`);
  }
}

/** One restored guest. */
export class Copy {
  readonly guest: Guest;
  /** What the host calls it. */
  readonly name: string;
  readonly #capture: string;
  readonly #answers = new Map<string, number>();

  constructor(guest: Guest, capture: string, name: string) {
    this.guest = guest;
    this.name = name;
    this.#capture = capture;
  }

  /** Waits until the kernel has been told of another generation and has reseeded itself. */
  async untilForked(): Promise<void> {
    await this.guest.succeed('until dmesg | grep -q "virtual machine fork"; do sleep 0.05; done', PATIENT);
  }

  /** Asks a witness. @param signal - see `clone-witness.fixture.ts` */
  async ask(witness: string, signal: 'HUP' | 'USR2' = 'HUP'): Promise<Drawn> {
    const number = (this.#answers.get(witness) ?? 0) + 1;
    this.#answers.set(witness, number);
    const file = `/run/${witness}.${number}`;
    const script = `kill -${signal} $(cat /run/${witness}.pid); until [ -e ${file} ]; do sleep 0.05; done; cat ${file}`;
    return JSON.parse(await this.guest.succeed(script, PATIENT)) as Drawn;
  }

  /** How often the kernel was told of another generation. */
  async forks(): Promise<number> {
    return Number(await this.guest.succeed('dmesg | grep -c "virtual machine fork" || true'));
  }

  /** Waits until the agent has done the steps of a resume because of a sign. @returns what it said of them */
  async untilResumed(sign: string): Promise<AgentResume> {
    const script = `until grep -q "cloned, restored or asleep (${sign})" /run/agent.err; do sleep 0.05; done; cat /run/agent.err`;
    return agentResume(sign, await this.guest.succeed(script, PATIENT));
  }

  /** The random of the first ClientHello that the agent sends in this copy. */
  async clientRandom(): Promise<string> {
    return eventually('a ClientHello', () => clientRandoms(this.#segments())[0], PATIENT.timeoutMs);
  }

  /** What this copy has sent on connections that were open when the snapshot was taken. */
  oldConnections(): { payloads: Buffer[]; ended: boolean }[] {
    return sentOnOldConnections(this.#segments(), GUEST_ADDRESS);
  }

  /** Waits until something was sent on such a connection. @returns every payload */
  async untilSentOnOld(): Promise<Buffer[]> {
    return eventually(
      'a record',
      () => {
        const payloads = this.oldConnections().flatMap((old) => old.payloads);
        return payloads.length > 0 && payloads;
      },
      PATIENT.timeoutMs,
    );
  }

  async end(): Promise<void> {
    await this.guest.kill();
    rmSync(this.#capture, { force: true });
  }

  #segments(): Segment[] {
    return readCapture(this.#capture);
  }
}

/** What an agent said of a resume. */
export interface AgentResume {
  readonly sign: string;
  readonly os: string;
  /** Steps, and why they were not done. */
  readonly undone: Readonly<Record<string, string>>;
}

function agentResume(sign: string, all: string): AgentResume {
  const resumes = all.split(/^lamplighter: this machine was /m);
  const said = resumes.find((one) => one.includes(`asleep (${sign})`)) ?? '';
  const [, os = ''] = /; the OS RNG: (.*)/.exec(said) ?? [];
  const undone = [...said.matchAll(/not done then: (\w+): (.*)/g)].map(([, step = '', why = '']) => [
    step,
    why,
  ]);
  return { sign, os, undone: Object.fromEntries(undone) as Record<string, string> };
}

/**
 * A CA and what guests need of it; the node of their host, which gives their agents beacons and has a trickle to each guest;
 * and a TLS server that says nothing.
 */
export class CloneLab {
  readonly place: Place;
  readonly proxy: StallingProxy;
  readonly #host: Command;
  readonly #admin: number;
  readonly #silent: tls.Server;

  private constructor(
    place: Place,
    host: { readonly node: Command; readonly admin: number },
    proxy: StallingProxy,
    silent: tls.Server,
  ) {
    this.place = place;
    this.#host = host.node;
    this.#admin = host.admin;
    this.proxy = proxy;
    this.#silent = silent;
  }

  static async open(): Promise<CloneLab> {
    const place = await Place.make();
    mkdirSync(place.path('lines'));
    const ports = await freePorts('listen', 'admin');
    const file = place.write('relay.yaml', {
      name: 'relay',
      state: 'state/relay',
      tls: place.tls('relay'),
      listen: { host: '127.0.0.1', port: ports.listen },
      admin: { port: ports.admin },
      guests: { socket: newsOf(place) },
      sources: [{ kind: 'timing' }, { kind: 'os' }],
      outlets: [{ kind: 'beacon' }, { kind: 'trickle', role: 'connect', folder: place.path('lines') }],
    });
    const node = new Command(['node', '--config', file]);
    await untilStatus(ports.admin, 'the node is ready', ({ state }) => state === 'ready');
    const { cert, key } = place.tls('relay');
    const silent = tls.createServer({
      cert: readFileSync(cert),
      key: readFileSync(key),
      minVersion: 'TLSv1.3',
    });
    silent.on('secureConnection', (socket) => socket.on('error', () => undefined).resume());
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    return new CloneLab(place, { node, admin: ports.admin }, await StallingProxy.to(ports.listen), silent);
  }

  /** A guest with Node and nothing of ours at work, and no source of entropy but its own interrupts. */
  async plain(): Promise<Snapshot> {
    const snapshot = this.#snapshot('plain', []);
    const guest = await this.#boot(snapshot);
    const port = (this.#silent.address() as AddressInfo).port;
    await startWitness(guest, 'plain', { library: false, tls: { host: HOST_ADDRESS, port } });
    await save(guest, snapshot, 'plain');
    return snapshot;
  }

  /**
   * A guest with the agent, which waits for a relay's answer on an open connection, and a program that uses the library and
   * has a connection to the agent's socket. The host's trickle has greeted it.
   */
  async hedged(): Promise<Snapshot> {
    const { place, proxy } = this;
    const files = place.tls('machine');
    const config = place.write('agent.yaml', {
      tls: files,
      relays: [{ name: 'relay', url: `https://${HOST_ADDRESS}:${proxy.port}`, peer: 'relay' }],
      state: '/run/lamplighter-state',
      refreshMs: 1_000,
      deadlineMs: 300_000,
      socket: { path: AGENT_SOCKET },
      host: {},
    });
    const snapshot = this.#snapshot('hedged', [config, ...Object.values(files)]);
    const guest = await this.#boot(snapshot);
    proxy.block(false);
    await start(guest, 'agent', [PROGRAM, 'agent', '--json', '--config', config]);
    await guest.succeed('until [ -s /run/agent.out ]; do sleep 0.1; done', PATIENT);
    await startWitness(guest, 'library', { library: true, egd: AGENT_SOCKET });
    await untilStatus(
      this.#admin,
      'the host has greeted the guest',
      (status) => partOf(status, 'outlets', 'trickle').details['greeted'] === 1,
      PATIENT.timeoutMs,
    );
    proxy.block(true);
    const before = proxy.blocked;
    await eventually('the agent waits for an answer', () => proxy.blocked > before, PATIENT.timeoutMs);
    await save(guest, snapshot, 'library');
    proxy.block(false);
    return snapshot;
  }

  /**
   * Tells the host's node that a guest was restored, as a hook does: again until the node has found the guest's socket.
   * @returns what the command said
   */
  tellHost({ name }: Copy): Promise<string> {
    const burst = ['host', 'burst', '--socket', newsOf(this.place), '--', name];
    return eventually(
      'the host gives a burst',
      async () => {
        const { code, stdout, stderr } = await run(burst);
        if (code !== 0 && !stderr.includes('[ERR_SOURCE_ABSENT]')) throw new Error(stderr);
        return code === 0 && stdout.trim();
      },
      PATIENT.timeoutMs,
    );
  }

  async close(): Promise<void> {
    this.#silent.close();
    await this.proxy.close();
    await this.#host.stop();
    this.place.remove();
  }

  #snapshot(name: string, files: readonly string[]): Snapshot {
    return new Snapshot(this.place, name, {
      // Nothing of the processor's own that parts copies.
      cpu: 'qemu64,-rdrand,-rdseed',
      memoryMb: 768,
      hostRandom: false,
      copied: closure([process.execPath, SETPRIV], [...packageClosure(PACKAGE), WITNESS, ...files]),
    });
  }

  async #boot(snapshot: Snapshot): Promise<Guest> {
    const guest = await snapshot.boot();
    await guest.succeed(`modprobe virtio_net && ifconfig eth0 ${GUEST_ADDRESS} netmask 255.255.255.0 up`);
    return guest;
  }
}

/**
 * What every guest here has: a VM generation, a network, a line for bursts, virtio-rng. What stands behind them is no part of
 * a guest's state.
 */
function devices({ generation, hostRandom = false, burst }: Restore & { burst: string }): string[] {
  const silent = '-chardev socket,id=silent,server=on,wait=off,path=';
  return [
    ['-device', `vmgenid,guid=${generation}`],
    '-netdev user,id=net,ipv6=off -device virtio-net-pci,netdev=net'.split(' '),
    ['-chardev', `socket,id=burst,server=on,wait=off,path=${burst}`],
    ['-device', `virtserialport,bus=ports.0,nr=2,chardev=burst,name=${BURST_PORT}`],
    hostRandom
      ? ['-object', 'rng-random,id=host,filename=/dev/urandom']
      : [...`${silent}${burst}.silent`.split(' '), '-object', 'rng-egd,id=host,chardev=silent'],
    ['-device', 'virtio-rng-pci,rng=host'],
  ].flat();
}

/** Where hooks tell the host's node. */
const newsOf = (place: Place): string => place.path('news', 'resumed.sock');

/** Starts a program that goes on, with what it says in /run/NAME.out and .err. */
async function start(guest: Guest, name: string, args: readonly string[]): Promise<void> {
  const words = [process.execPath, ...args].map((word) => `'${word}'`).join(' ');
  await guest.succeed(`${words} >/run/${name}.out 2>/run/${name}.err </dev/null & echo $! >/run/${name}.pid`);
}

async function startWitness(
  guest: Guest,
  name: string,
  options: Omit<WitnessOptions, 'file'>,
): Promise<void> {
  await start(guest, name, [WITNESS, JSON.stringify({ ...options, file: `/run/${name}` })]);
  const ready = `until [ -e /run/${name}.0 ] || ! [ -d /proc/$(cat /run/${name}.pid) ]; do sleep 0.1; done`;
  await guest.succeed(`${ready}; cat /run/${name}.err >&2; [ -e /run/${name}.0 ]`, PATIENT);
}

/** Saves a guest whose kernel has reseeded just now: its next reseed by itself comes long after what is looked at. */
async function save(guest: Guest, snapshot: Snapshot, witness: string): Promise<void> {
  const file = `/run/${witness}.reseeded`;
  const script = `kill -WINCH $(cat /run/${witness}.pid); until [ -e ${file} ]; do sleep 0.05; done; cat ${file}`;
  const reseeded = await guest.succeed(script, PATIENT);
  if (reseeded !== 'yes') throw new Error(`the guest's kernel was not reseeded: ${reseeded}`);
  await guest.saveTo(snapshot.file);
  await guest.kill();
}
