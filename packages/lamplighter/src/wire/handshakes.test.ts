import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type HandshakeLimits, Handshakes } from './handshakes.js';
import type { RefusedReason } from './listener-limits.js';

const LIMITS: HandshakeLimits = {
  handshakeTimeoutMs: 60_000,
  handshakeLineMs: 60_000,
  handshakePatienceMs: 60_000,
  maxHandshakes: 4,
  maxWaiting: 100,
  maxSilent: 100,
};
/** Networks that every Linux has: all of 127/8 is this machine. */
const [A, B, C] = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Door {
  readonly handshakes: Handshakes;
  readonly port: number;
  /** What each of those begun has said, in the order they were begun. */
  readonly said: () => string[];
  readonly sockets: net.Socket[];
  readonly refused: RefusedReason[];
  room: boolean;
}

/** Real TCP; what is begun here is not a handshake but remembered. */
async function door(limits: Partial<HandshakeLimits> = {}): Promise<Door> {
  const sockets: net.Socket[] = [];
  const refused: RefusedReason[] = [];
  const handshakes = new Handshakes(
    { ...LIMITS, ...limits },
    {
      begin: (socket) => void sockets.push(socket),
      refuse: (reason) => void refused.push(reason),
      hasRoom: () => made.room,
    },
  );
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    handshakes.offer(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    handshakes.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const words = new Map<net.Socket, string>();
  const made: Door = {
    handshakes,
    port: (server.address() as net.AddressInfo).port,
    said: () =>
      sockets.map((socket) => {
        const word = words.get(socket) ?? String(socket.read());
        words.set(socket, word);
        return word;
      }),
    sockets,
    refused,
    room: true,
  };
  return made;
}

/** A client that says a word, or nothing; returns when the server has it where it belongs. */
async function come(to: Door, from: string, word = ''): Promise<net.Socket> {
  const known = (): number =>
    word === ''
      ? to.handshakes.silent + to.refused.length
      : to.handshakes.waiting + to.sockets.length + to.refused.length;
  const before = known();
  const socket = net.connect({ port: to.port, host: '127.0.0.1', localAddress: from });
  socket.on('error', () => {}).resume();
  closing.push(() => socket.destroy());
  // It may be turned away before it knows that it was connected.
  socket.write(word);
  await expect.poll(known).toBeGreaterThan(before);
  return socket;
}

/** Waits for the close of a socket, which may have been. */
async function closed(socket: net.Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

describe('Handshakes', () => {
  it('begins what has spoken, and hands over every byte it said', async () => {
    const held = await door();
    await come(held, A);
    await come(held, A, 'hello');
    await expect.poll(held.said).toEqual(['hello']);
    expect(held.handshakes).toMatchObject({ silent: 1, waiting: 0, begun: 1 });
    expect(held.refused).toEqual([]);
  });

  it('gives one network three quarters of the places, and the last one to another at once', async () => {
    const held = await door();
    for (const word of ['a1', 'a2', 'a3', 'a4']) await come(held, A, word);
    await expect.poll(held.said).toEqual(['a1', 'a2', 'a3']);
    expect(held.handshakes).toMatchObject({ waiting: 1, begun: 3 });
    await come(held, B, 'b1');
    await expect.poll(held.said).toEqual(['a1', 'a2', 'a3', 'b1']);
    expect(held.handshakes).toMatchObject({ waiting: 1, begun: 4 });
  });

  it('finishes what it has begun; then a network that asked little comes next, and one whose turn it is, by turns', async () => {
    const held = await door({ maxHandshakes: 1 });
    for (const word of ['a1', 'a2', 'a3', 'a4', 'a5']) await come(held, A, word);
    for (const word of ['b1', 'b2', 'b3']) await come(held, B, word);
    await come(held, C, 'c1');
    const order = ['a1', 'c1', 'a2', 'b1', 'a3', 'b2', 'a4', 'b3', 'a5'];
    for (const [index] of order.entries()) {
      await expect.poll(held.said).toEqual(order.slice(0, index + 1));
      expect(held.handshakes.begun).toBe(1);
      const socket = held.sockets[index];
      if (socket !== undefined) held.handshakes.done(socket);
    }
    expect(held.handshakes.begun).toBe(0);
    expect(held.refused).toEqual([]);
  });

  it('turns the newest of the greediest network away when the line is full, and lets a modest one in', async () => {
    const held = await door({ maxHandshakes: 1, maxWaiting: 2 });
    await come(held, A, 'a1');
    const second = await come(held, A, 'a2');
    const third = await come(held, A, 'a3');
    // Its network has the most already: it is not even heard.
    await closed(await come(held, A, 'a4'));
    expect(held.refused).toEqual(['tooManyHandshakes']);
    await come(held, B, 'b1');
    await closed(third);
    expect(held.refused).toEqual(['tooManyHandshakes', 'tooManyHandshakes']);
    expect(second.closed).toBe(false);
    for (const index of [0, 1, 2]) {
      await expect.poll(() => held.sockets.length).toBe(index + 1);
      const socket = held.sockets[index];
      if (socket !== undefined) held.handshakes.done(socket);
    }
    expect(new Set(held.said())).toEqual(new Set(['a1', 'a2', 'b1']));
  });

  it('drops the oldest silent connection of the network that has the most of them', async () => {
    const held = await door({ maxSilent: 3 });
    const modest = await come(held, B);
    const oldest = await come(held, A);
    const second = await come(held, A);
    await come(held, A);
    await closed(oldest);
    expect(held.refused).toEqual(['tooManyHandshakes']);
    expect([modest.closed, second.closed]).toEqual([false, false]);
    // However many stay silent, one that speaks gets its place.
    await come(held, A, 'hello');
    await expect.poll(held.said).toEqual(['hello']);
  });

  it('takes its place from one that does not get on, once somebody waits for it', async () => {
    const held = await door({ maxHandshakes: 1, handshakePatienceMs: 20 });
    const stalled = await come(held, A, 'stalled');
    await expect.poll(held.said).toEqual(['stalled']);
    await come(held, B, 'waiting');
    await expect.poll(held.said).toEqual(['stalled', 'waiting']);
    await closed(stalled);
    expect(held.refused).toEqual(['tooManyHandshakes']);
  });

  it('waits until there is room for those who get through', async () => {
    const held = await door();
    held.room = false;
    await come(held, A, 'a1');
    await new Promise((resolve) => setImmediate(resolve));
    expect(held.handshakes).toMatchObject({ waiting: 1, begun: 0 });
    held.room = true;
    held.handshakes.proceed();
    await expect.poll(held.said).toEqual(['a1']);
  });

  it.each<[string, string]>([
    ['silent', ''],
    ['in line', 'a2'],
  ])('ends by its deadline what is %s, and by itself what has gone', async (_what, word) => {
    const held = await door({ maxHandshakes: 1, handshakeTimeoutMs: 40, handshakeLineMs: 40 });
    await come(held, A, 'a1');
    await expect.poll(held.said).toEqual(['a1']);
    await closed(await come(held, A, word));
    expect(held.refused).toEqual([word === '' ? 'handshakeTimeout' : 'tooManyHandshakes']);
    const leaving = await come(held, A, word);
    leaving.resetAndDestroy();
    await expect.poll(() => held.refused.length).toBe(2);
    expect(held.handshakes).toMatchObject({ silent: 0, waiting: 0, begun: 1 });
    // What has begun has a deadline of its own, and is gone when its peer is.
    held.sockets[0]?.destroy();
    await expect.poll(() => held.handshakes.begun).toBe(0);
  });

  it('counts one that leaves without a word', async () => {
    const held = await door();
    const socket = await come(held, A);
    socket.end();
    await closed(socket);
    expect(held.refused).toEqual(['handshake']);
    expect(held.handshakes.silent).toBe(0);
  });

  it('leaves nothing behind when it is destroyed', async () => {
    const held = await door({ maxHandshakes: 1 });
    const sockets = [await come(held, A), await come(held, A, 'a1'), await come(held, A, 'a2')];
    held.handshakes.destroy();
    await Promise.all(sockets.map(closed));
    await expect
      .poll(() => [held.handshakes.silent, held.handshakes.waiting, held.handshakes.begun])
      .toEqual([0, 0, 0]);
  });
});
