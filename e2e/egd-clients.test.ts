import { once } from 'node:events';
import net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Place } from './place.fixture.js';
import { residentBytes } from './proc.fixture.js';
import {
  Command,
  endAll,
  eventually,
  freePorts,
  partOf,
  statusOf,
  untilStatus,
} from './processes.fixture.js';

/** Command 02 for the longest answer, and its length. */
const ASK = Buffer.from('02ff', 'hex');
const ANSWER_BYTES = 255;
const POLITE = 197;
/** So little that all two hundred wait for their turn all the time, however slow this machine is: 257 answers a second. */
const TOTAL_BYTES_PER_SECOND = 64 * 1024;
const MEASURED_MS = 6_000;

/** A client that asks for the next answer when it has the one before. */
class Polite {
  readonly socket: net.Socket;
  received = 0;
  #askedBytes = 0;
  #asking = true;

  constructor(socketPath: string) {
    this.socket = net.connect(socketPath);
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk) => {
      this.received += chunk.length;
      if (this.#asking && this.owedBytes === 0) this.ask();
    });
  }

  get owedBytes(): number {
    return this.#askedBytes - this.received;
  }

  ask(): void {
    this.#askedBytes += ANSWER_BYTES;
    this.socket.write(ASK);
  }

  stop(): void {
    this.#asking = false;
  }
}

/** Jain, Chiu, Hawe (1984): 1 when all have the same, 1/n when one has all. */
function fairness(shares: readonly number[]): number {
  const sum = shares.reduce((a, b) => a + b, 0);
  const squares = shares.reduce((a, b) => a + b * b, 0);
  return (sum * sum) / (shares.length * squares);
}

describe('two hundred EGD clients of one node', () => {
  let place: Place;
  let config: string;
  let socketPath: string;
  let admin: number;
  const sockets: net.Socket[] = [];

  beforeAll(async () => {
    place = new Place();
    socketPath = place.path('egd', 'socket');
    ({ admin } = await freePorts('admin'));
    config = place.write('host.yaml', {
      name: 'host',
      state: 'state/host',
      admin: { port: admin },
      sources: [{ kind: 'os' }, { kind: 'cpu' }],
      outlets: [{ kind: 'egd', listen: `unix:${socketPath}`, totalBytesPerSecond: TOTAL_BYTES_PER_SECOND }],
    });
  });

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await endAll();
  });

  afterAll(() => place.remove());

  async function connected(): Promise<net.Socket> {
    const socket = net.connect(socketPath);
    sockets.push(socket);
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  }

  it('get a fair share, beside a greedy one, a deaf one and one that talks nonsense; and what they are owed at the end', async () => {
    const node = new Command(['node', '--config', config]);
    await untilStatus(admin, 'ready', ({ state }) => state === 'ready');

    const polite = Array.from({ length: POLITE }, () => new Polite(socketPath));
    sockets.push(...polite.map(({ socket }) => socket));
    await Promise.all(polite.map(({ socket }) => once(socket, 'connect')));

    // Asks for far more than there is, and reads whatever comes.
    const greedy = await connected();
    let greedyBytes = 0;
    greedy.on('data', (chunk) => (greedyBytes += chunk.length));
    greedy.write(Buffer.alloc(1 << 20, ASK));

    // Asks as much, and never reads.
    const deaf = await connected();
    deaf.pause();
    deaf.write(Buffer.alloc(1 << 20, ASK));

    // Sends what is no request, again and again.
    let nonsense = 0;
    const babble = async (): Promise<void> => {
      while (node.isRunning && nonsense < 10_000) {
        const babbler = await connected().catch(() => undefined);
        if (babbler === undefined) return;
        const closed = new Promise((resolve) => babbler.once('close', resolve));
        babbler.resume();
        babbler.write(Buffer.alloc(4_096, 0xee));
        await closed;
        sockets.splice(sockets.indexOf(babbler), 1);
        nonsense += 1;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const babbling = babble();

    for (const client of polite) client.ask();
    await eventually('every client has had an answer', () => polite.every(({ received }) => received > 0));
    const atStart = polite.map(({ received }) => received);
    const greedyAtStart = greedyBytes;
    const memoryAtStart = residentBytes(node.pid);
    await new Promise((resolve) => setTimeout(resolve, MEASURED_MS));
    const shares = polite.map(({ received }, at) => received - (atStart[at] ?? 0));
    const greedyShare = greedyBytes - greedyAtStart;
    const memoryAtEnd = residentBytes(node.pid);

    // How fast this machine is does not matter: everybody waits in the same line.
    const mean = shares.reduce((a, b) => a + b, 0) / POLITE;
    expect(mean).toBeGreaterThan(4 * ANSWER_BYTES);

    expect(fairness(shares)).toBeGreaterThan(0.9);
    expect(Math.min(...shares)).toBeGreaterThan(mean / 2);
    expect(greedyShare).toBeLessThan(2 * mean);
    expect(nonsense).toBeGreaterThan(10);
    expect(memoryAtEnd - memoryAtStart).toBeLessThan(48 * 1024 * 1024);

    const status = await statusOf(admin);
    const outlet = status && partOf(status, 'outlets', 'egd');
    expect(outlet).toMatchObject({ state: 'ok', details: { failures: 0, inputs: 0 } });
    expect(Number(outlet?.details['protocolErrors'])).toBeGreaterThanOrEqual(nonsense);
    expect(Number(outlet?.details['overBudget'])).toBeGreaterThan(POLITE / 2);

    // The end: everybody has asked for something, and the kernel has it, before the node is told to stop.
    for (const client of polite) client.stop();
    await eventually('nothing waits here', () => polite.every(({ socket }) => socket.writableLength === 0));
    const owed = polite.filter(({ owedBytes }) => owedBytes > 0).length;
    const ended = polite.map(({ socket }) => once(socket, 'end'));
    const stopped = node.stop();
    await Promise.all(ended);
    expect(owed).toBeGreaterThan(POLITE / 2);
    expect(polite.map(({ owedBytes }) => owedBytes)).toEqual(polite.map(() => 0));
    const { code, tookMs } = await stopped;
    expect(code).toBe(0);
    // The deaf one holds it up to the deadline and not longer.
    expect(tookMs).toBeLessThan(10_000);
    await babbling;
  });

  it('over loopback TCP are served as over the socket, and other addresses are refused', async () => {
    const { tcp } = await freePorts('tcp');
    const outlets = [{ kind: 'egd', name: 'local', listen: `tcp:127.0.0.1:${tcp}` }];
    const options = { name: 'host', state: 'state/host', admin: { port: admin }, sources: [{ kind: 'os' }] };
    const node = new Command(['node', '--config', place.write('tcp.yaml', { ...options, outlets })]);
    await untilStatus(admin, 'ready', ({ state }) => state === 'ready');
    const socket = net.connect(tcp, '127.0.0.1');
    sockets.push(socket);
    const parts: Buffer[] = [];
    socket.on('data', (chunk) => parts.push(chunk));
    socket.write(Buffer.concat([ASK, ASK]));
    await eventually('both answers', () => Buffer.concat(parts).length === 2 * ANSWER_BYTES);
    const all = Buffer.concat(parts);
    expect(all.subarray(0, ANSWER_BYTES).equals(all.subarray(ANSWER_BYTES))).toBe(false);
    await node.stop();

    const open = [{ kind: 'egd', listen: `tcp:0.0.0.0:${tcp}` }];
    const refused = new Command([
      'node',
      '--config',
      place.write('open.yaml', { ...options, outlets: open }),
    ]);
    expect(await refused.ended).toMatchObject({ code: 78 });
    expect(refused.stderr).toMatch(/loopback/);
  });
});
