import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { WITHIN } from '../within.fixture.js';
import { duplexPair } from './duplex-pair.fixture.js';
import { XenstoreConnection, XenstoreRefusal, isXenstoreRefusal } from './xenstore-connection.js';
import {
  XENSTORE_TYPE,
  type XenstoreMessage,
  XenstoreMessageDecoder,
  encodeXenstoreMessage,
  xenstoreFields,
} from './xenstore.js';

const { read, watch, watchEvent, error: ERROR } = XENSTORE_TYPE;
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A connection to a daemon that does with each request what `serve` says. */
function connected(
  serve: (
    message: XenstoreMessage,
    answer: (message: Partial<XenstoreMessage>) => void,
    peer: Duplex,
  ) => void,
  options: { deadlineMs?: number; maxInFlight?: number } = {},
) {
  const [client, daemon] = duplexPair();
  const decoder = new XenstoreMessageDecoder();
  const events: string[] = [];
  const stopping = new AbortController();
  daemon.on('error', () => undefined);
  daemon.on('data', (chunk: Buffer) =>
    decoder.push(chunk, (message) =>
      serve(
        message,
        (answer) =>
          daemon.write(encodeXenstoreMessage({ ...message, payload: xenstoreFields('OK'), ...answer })),
        daemon,
      ),
    ),
  );
  const connection = new XenstoreConnection(client, {
    environment: systemEnvironment(),
    deadlineMs: options.deadlineMs ?? 5_000,
    signal: stopping.signal,
    shown: 'xenstored',
    onEvent: (path, token) => events.push(`${path} ${token}`),
    ...(options.maxInFlight !== undefined && { maxInFlight: options.maxInFlight }),
  });
  ends.push(() => connection.close());
  const ask = (type: number, ...fields: string[]): Promise<Uint8Array> =>
    connection.request(type, xenstoreFields(...fields), { what: 'do it' });
  return { connection, daemon, events, stopping, ask };
}

const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

describe('a connection to xenstored', () => {
  it('matches answers to requests by number, in whatever order they come', async () => {
    const held: (() => void)[] = [];
    const { ask } = connected((message, answer) => {
      held.push(() => answer({ payload: message.payload }));
      if (held.length === 10) for (const send of held.reverse()) send();
    });
    const names = Array.from({ length: 10 }, (_, index) => `node${index}`);
    const answers = await Promise.all(names.map((name) => ask(read, name)));
    expect(answers.map(text)).toEqual(names.map((name) => `${name}\0`));
  });

  it.each([undefined, 1])('has at most %s requests with the daemon', async (maxInFlight) => {
    let outstanding = 0;
    let most = 0;
    const { ask } = connected(
      (_message, answer) => {
        outstanding += 1;
        most = Math.max(most, outstanding);
        setImmediate(() => {
          outstanding -= 1;
          answer({});
        });
      },
      maxInFlight === undefined ? {} : { maxInFlight },
    );
    await Promise.all(Array.from({ length: 200 }, () => ask(read, 'x')));
    expect(most).toBe(maxInFlight ?? 16);
  });

  it('gives a refusal by its name, and goes on', async () => {
    const { ask } = connected((message, answer) => {
      if (text(message.payload).startsWith('bad')) answer({ type: ERROR, payload: xenstoreFields('EACCES') });
      else answer({});
    });
    const refused = await ask(read, 'bad').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(XenstoreRefusal);
    expect(refused).toMatchObject({ code: 'ERR_XENSTORE_REFUSED', errno: 'EACCES' });
    expect(isXenstoreRefusal(refused, 'ENOENT', 'EACCES')).toBe(true);
    expect(isXenstoreRefusal(refused, 'ENOENT')).toBe(false);
    expect(text(await ask(read, 'good'))).toBe('OK\0');
  });

  it('shows of an error nothing but a name', async () => {
    const { ask } = connected((_message, answer) =>
      answer({ type: ERROR, payload: xenstoreFields('secret \u0007 text') }),
    );
    await expect(ask(read, 'x')).rejects.toThrow('xenstored refused to do it (an unknown error)');
  });

  it('hands events on as they come, between answers', async () => {
    const { ask, events } = connected((_message, answer) => {
      answer({ type: watchEvent, requestId: 0xdead, payload: xenstoreFields('/a', 'token') });
      answer({});
      answer({ type: watchEvent, requestId: 0, payload: xenstoreFields('/b', 'token', 'more') });
    });
    await ask(read, 'x');
    await vi.waitFor(() => expect(events).toEqual(['/a token', '/b token']), WITHIN);
  });

  it('takes the answer to a watch without its number, as Linux gives it on /dev/xen/xenbus', async () => {
    const { ask } = connected((_message, answer) => answer({ requestId: 0 }), { maxInFlight: 1 });
    expect(text(await ask(watch, '/a', 'token'))).toBe('OK\0');
  });

  it('wipes what it was given to send', async () => {
    const { connection } = connected((_message, answer) => answer({}));
    const payload = xenstoreFields('secret');
    await connection.request(XENSTORE_TYPE.write, payload, { what: 'write' });
    expect([...payload].every((byte) => byte === 0)).toBe(true);
  });

  it('rests until it is woken, until the time is over, or until it ends', async () => {
    const { connection, daemon } = connected(() => undefined);
    const woken = connection.rest(60_000);
    connection.wake();
    await woken;
    await connection.rest(1);
    const ended = connection.rest(60_000);
    daemon.destroy();
    await expect(ended).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
    await expect(connection.rest(1)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
  });

  it('ends with its signal: everybody is told, nothing more is taken', async () => {
    const { connection, stopping, ask } = connected(() => undefined);
    const waiting = Array.from({ length: 40 }, () => ask(read, 'x'));
    stopping.abort();
    for (const request of waiting) await expect(request).rejects.toMatchObject({ code: 'ERR_STOPPED' });
    await connection.closed;
    await expect(ask(read, 'x')).rejects.toMatchObject({ code: 'ERR_STOPPED' });
  });
});

describe('a daemon that', () => {
  it.each<[string, string, Parameters<typeof connected>[0]]>([
    ['never answers', 'ERR_DEADLINE', () => undefined],
    ['answers in part', 'ERR_DEADLINE', (_message, _answer, peer) => peer.write(Buffer.alloc(7))],
    ['hangs up', 'ERR_UPSTREAM_UNREACHABLE', (_message, _answer, peer) => peer.destroy()],
    [
      'hangs up in the middle',
      'ERR_UPSTREAM_UNREACHABLE',
      (_message, _answer, peer) => peer.end(Buffer.alloc(5)),
    ],
    [
      'announces too much',
      'ERR_XENSTORE_PROTOCOL',
      (_message, _answer, peer) => peer.write(Buffer.alloc(16, 0xff)),
    ],
    ['answers what nobody asked', 'ERR_XENSTORE_PROTOCOL', (_message, answer) => answer({ requestId: 77 })],
    ['answers without a number', 'ERR_XENSTORE_PROTOCOL', (_message, answer) => answer({ requestId: 0 })],
    ['answers another question', 'ERR_XENSTORE_PROTOCOL', (_message, answer) => answer({ type: 1 })],
    [
      'answers in another transaction',
      'ERR_XENSTORE_PROTOCOL',
      (_message, answer) => answer({ transactionId: 9 }),
    ],
    [
      'sends an event of nothing',
      'ERR_XENSTORE_PROTOCOL',
      (_message, answer) => answer({ type: watchEvent, payload: new Uint8Array(0) }),
    ],
    [
      'sends garbage without end',
      'ERR_XENSTORE_PROTOCOL',
      (_message, _answer, peer) => {
        const flood = (): void =>
          void (!peer.destroyed && peer.write(randomBytes(65_536), () => setImmediate(flood)));
        flood();
      },
    ],
  ])('%s ends the connection by name', async (_what, code, serve) => {
    const { connection, ask } = connected(serve, { deadlineMs: 100 });
    const first = ask(read, 'x');
    const second = ask(read, 'y');
    await expect(first).rejects.toMatchObject({ code });
    await expect(second).rejects.toMatchObject({ code });
    await connection.closed;
  });

  it('answers twice ends the connection; the first answer counts', async () => {
    const { connection, ask } = connected((_message, answer) => {
      answer({});
      answer({});
    });
    expect(text(await ask(read, 'x'))).toBe('OK\0');
    await connection.closed;
    await expect(ask(read, 'x')).rejects.toMatchObject({ code: 'ERR_XENSTORE_PROTOCOL' });
  });
});
