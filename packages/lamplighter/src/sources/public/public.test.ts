import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import net, { type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type TestAuthority, testAuthority } from '../../identity/made-certificates.fixture.js';
import { type Endpoint, systemEnvironment } from '../../local/environment.js';
import { describeSourceCompliance } from '../source.compliance.js';
import type { Source } from '../source.js';
import { type OwnDrand, type RoundJson, ownDrand } from './drand.fixture.js';
import { type PublicSourceOptions, publicSource } from './public.js';

const environment = systemEnvironment();
const never = new AbortController().signal;
const ends: (() => Promise<void>)[] = [];
const own: OwnDrand = ownDrand('bls-unchained-g1-rfc9380');

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Relay {
  readonly url: string;
  readonly asked: () => number;
  readonly sockets: ReadonlySet<Socket>;
  readonly close: () => Promise<void>;
}

async function listening(server: net.Server, scheme: string, asked: () => number): Promise<Relay> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    // An HTTP server keeps a socket whose other side is shut for as long as it owes an answer.
    socket.on('error', () => undefined).on('end', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, 'close');
  };
  ends.push(close);
  return { url: `${scheme}://127.0.0.1:${bound.port}`, asked, sockets, close };
}

/** A relay that answers every request as it is told; `nth` counts from 1. */
async function relay(
  answer: (response: ServerResponse, nth: number, request: IncomingMessage) => void,
): Promise<Relay> {
  let nth = 0;
  const server = http.createServer((request, response) => {
    nth += 1;
    answer(response, nth, request);
  });
  return listening(server, 'http', () => nth);
}

/** A peer that does not even speak HTTP. */
async function rawRelay(serve: (socket: Socket) => void): Promise<Relay> {
  let nth = 0;
  const server = net.createServer((socket) => {
    nth += 1;
    serve(socket);
  });
  return listening(server, 'http', () => nth);
}

const send = (response: ServerResponse, json: RoundJson): void => void response.end(JSON.stringify(json));

/** An honest relay of a network that makes a round whenever it is asked, from a while ago on. */
function honest(drand: OwnDrand = own): Promise<Relay> {
  const before = drand.dueNow() - 50;
  return relay((response, nth) => send(response, drand.sign(before + nth)));
}

function newSource(options: PublicSourceOptions): Source {
  const source = publicSource({ chain: own.chain, periodMs: 3_600_000, ...options }, environment);
  ends.push(() => source.stop());
  return source;
}

async function started(options: PublicSourceOptions) {
  const source = newSource(options);
  const heard: string[] = [];
  await source.start({ hear: (bytes) => heard.push(Buffer.from(bytes).toString('hex')) }, never);
  return { source, heard };
}

const detail = (source: Source, name: string): unknown => source.status().details[name];

describeSourceCompliance('public', async () => {
  const { url, close } = await honest();
  return { source: publicSource({ relays: [url], chain: own.chain }, environment), cleanUp: () => close() };
});

describe('a public source', () => {
  it.each(['pedersen-bls-chained', 'pedersen-bls-unchained', 'bls-unchained-g1-rfc9380'] as const)(
    'hears the randomness of %s, and shows the round and its time',
    async (scheme) => {
      const drand = ownDrand(scheme);
      const due = drand.dueNow();
      let path: string | undefined;
      const { url } = await relay((response, _nth, request) => {
        path = request.url;
        send(response, drand.sign(due));
      });
      const { source, heard } = await started({ relays: [`${url}/below/`], chain: drand.chain });
      await vi.waitFor(() => expect(heard).toEqual([drand.sign(due).randomness]), 10_000);
      expect(path).toBe(`/below/${drand.chain.hash}/public/latest`);
      const { genesisS, periodS } = drand.chain.times;
      expect(source.status()).toMatchObject({
        state: 'ok',
        basis: { simulated: false, degraded: false, physical: false },
        details: {
          round: due,
          roundTime: new Date((genesisS + (due - 1) * periodS) * 1_000).toISOString(),
          relay: new URL(url).host,
          rounds: 1,
          failures: 0,
        },
      });
    },
  );

  it('is heard once a round, however often it asks', async () => {
    const due = own.dueNow();
    const { url, asked } = await relay((response, nth) => send(response, own.sign(due - (nth < 4 ? 1 : 0))));
    const { source, heard } = await started({ relays: [url], periodMs: 20 });
    await vi.waitFor(() => expect(heard.length).toBe(2), 10_000);
    expect(asked()).toBeGreaterThanOrEqual(4);
    expect(heard).toEqual([own.sign(due - 1).randomness, own.sign(due).randomness]);
    expect(detail(source, 'rounds')).toBe(2);
  });

  it('gives a round to one asker once, and is absent when there is none yet', async () => {
    const due = own.dueNow();
    const { url } = await relay((response) => send(response, own.sign(due)));
    const { source } = await started({ relays: [url] });
    expect(Buffer.from((await source.sample(never)) ?? []).toString('hex')).toBe(own.sign(due).randomness);
    expect(await source.sample(never)).toBeUndefined();
  });

  it('opens one connection a question, through its environment', async () => {
    const opened: unknown[] = [];
    const { url, asked, sockets } = await honest();
    const watched = {
      ...environment,
      connect: (endpoint: Endpoint) => (opened.push(endpoint), environment.connect(endpoint)),
    };
    const source = publicSource({ relays: [url], chain: own.chain }, watched);
    ends.push(() => source.stop());
    expect(await source.sample(never)).toBeDefined();
    expect(await source.sample(never)).toBeDefined();
    expect(asked()).toBe(2);
    expect(opened).toEqual(
      Array.from({ length: 2 }, () => ({ host: '127.0.0.1', port: Number(new URL(url).port) })),
    );
    await vi.waitFor(() => expect(sockets.size).toBe(0), 10_000);
  });

  it('leaves a relay that fails for the next one, says so, and stays there', async () => {
    const [bad, good] = [await relay((response) => response.writeHead(500).end()), await honest()];
    const { source } = await started({ relays: [bad.url, good.url] });
    expect(await source.sample(never)).toBeDefined();
    expect(source.status()).toMatchObject({
      state: 'ok',
      details: {
        failures: 1,
        lastFault: `${new URL(bad.url).host}: ERR_UPSTREAM_STATUS`,
        relay: new URL(good.url).host,
      },
    });
    expect(source.status().reason).toBeUndefined();
    expect(await source.sample(never)).toBeDefined();
    expect(bad.asked()).toBe(1);
  });

  it('reads a body that ends with its connection, and one in pieces', async () => {
    const due = own.dueNow();
    const { url } = await rawRelay((socket) =>
      socket.once('data', () => {
        socket.setNoDelay();
        const text = `HTTP/1.1 200 OK\r\n\r\n${JSON.stringify(own.sign(due))}`;
        const next = (at: number): void => {
          if (at >= text.length) socket.end();
          else socket.write(text.slice(at, at + 11), () => setImmediate(next, at + 11));
        };
        next(0);
      }),
    );
    const { source } = await started({ relays: [url] });
    expect(await source.sample(never)).toBeDefined();
  });

  it('comes back after its relay has', async () => {
    let down = true;
    const due = own.dueNow();
    const { url } = await relay((response) => (down ? response.destroy() : send(response, own.sign(due))));
    const { source, heard } = await started({ relays: [url] });
    await vi.waitFor(
      () =>
        expect(source.status()).toMatchObject({
          state: 'failed',
          reason: { code: 'ERR_UPSTREAM_UNREACHABLE' },
        }),
      10_000,
    );
    down = false;
    await vi.waitFor(() => expect(heard.length).toBe(1), 15_000);
    expect(source.status().state).toBe('ok');
  });

  it('does not hold up a round beyond its signal, nor stop', async () => {
    const { url, sockets } = await relay(() => undefined);
    const { source } = await started({ relays: [url], deadlineMs: 60_000 });
    expect(await source.sample(AbortSignal.timeout(50))).toBeUndefined();
    await source.stop();
    await vi.waitFor(() => expect(sockets.size).toBe(0), 10_000);
  });

  it.each<[string, PublicSourceOptions]>([
    ['no relay', { relays: [] }],
    ['a relay that is no address', { relays: ['relay.example'] }],
    ['a chain whose key does not fit', { chain: { ...own.chain, scheme: 'pedersen-bls-chained' } }],
  ])('refuses %s when it is configured', (_what, options) => {
    expect(() => newSource(options)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }) as Error);
  });

  it('has the League of Entropy for defaults', () => {
    const source = publicSource({}, environment);
    expect(source.status().details).toMatchObject({ scheme: 'pedersen-bls-chained' });
  });
});

describe('over HTTPS', () => {
  async function secure(names?: Parameters<TestAuthority['make']>[0]) {
    const authority = await testAuthority();
    const due = own.dueNow();
    let nth = 0;
    const server = https.createServer(await authority.make(names), (_request, response) => {
      nth += 1;
      send(response, own.sign(due));
    });
    return { ...(await listening(server, 'https', () => nth)), pem: authority.pem };
  }

  it('a relay with a certificate of its CA is asked', async () => {
    const { url, pem } = await secure();
    const { source } = await started({ relays: [url], ca: pem });
    expect(await source.sample(never)).toBeDefined();
  });

  it('a relay with a certificate of an unknown CA is not', async () => {
    const { url, asked } = await secure();
    const { source } = await started({ relays: [url] });
    await vi.waitFor(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_CERTIFICATE'), 10_000);
    expect(asked()).toBe(0);
  });

  it('a relay with a certificate of another name is not', async () => {
    const { url, pem, asked } = await secure({ names: [{ type: 'dns', value: 'elsewhere.example' }] });
    const { source } = await started({ relays: [url], ca: pem });
    await vi.waitFor(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_CERTIFICATE'), 10_000);
    expect(asked()).toBe(0);
  });
});

describe('a relay that', () => {
  const due = own.dueNow();
  const good = own.sign(due);
  const text = JSON.stringify(good);

  it.each<[string, string, (response: ServerResponse) => void]>([
    [
      'sends the signature of another round',
      'ERR_DRAND_SIGNATURE',
      (response) => send(response, { ...own.sign(due - 1), round: due }),
    ],
    [
      'sends a round of another network',
      'ERR_DRAND_SIGNATURE',
      (response) => {
        const { signature, randomness } = ownDrand('bls-unchained-g1-rfc9380').sign(due + 1);
        send(response, { round: due, signature, randomness });
      },
    ],
    [
      'sends another randomness',
      'ERR_DRAND_RANDOMNESS',
      (response) => send(response, { ...good, randomness: own.sign(due - 1).randomness }),
    ],
    ['sends a round of tomorrow', 'ERR_DRAND_ROUND', (response) => send(response, own.sign(due + 28_800))],
    [
      'sends a round of the end of time',
      'ERR_DRAND_ROUND',
      (response) => send(response, { ...good, round: Number.MAX_SAFE_INTEGER }),
    ],
    ['replays a round of yesterday', 'ERR_DRAND_ROUND', (response) => send(response, own.sign(due - 28_800))],
    ['sends truncated JSON', 'ERR_DRAND_FORMAT', (response) => void response.end(text.slice(0, -2))],
    ['sends nothing', 'ERR_DRAND_FORMAT', (response) => void response.end()],
    ['sends a page', 'ERR_DRAND_FORMAT', (response) => void response.end('<html><body>please sign in')],
    [
      'sends a huge body',
      'ERR_BODY_TOO_LARGE',
      (response) => {
        const more = (): void =>
          void (response.destroyed || response.write(Buffer.alloc(16_384, 32), () => setImmediate(more)));
        more();
      },
    ],
    [
      'announces a huge body',
      'ERR_BODY_TOO_LARGE',
      (response) => void response.writeHead(200, { 'content-length': 1e12 }).write('{'),
    ],
    [
      'redirects',
      'ERR_UPSTREAM_STATUS',
      (response) => void response.writeHead(302, { location: '/elsewhere' }).end(),
    ],
    ['is broken', 'ERR_UPSTREAM_STATUS', (response) => void response.writeHead(503).end(text)],
    ['does not know the chain', 'ERR_UPSTREAM_STATUS', (response) => void response.writeHead(404).end(text)],
    [
      'hangs up in the middle',
      'ERR_UPSTREAM_UNREACHABLE',
      (response) => {
        response.writeHead(200, { 'content-length': text.length });
        response.write(text.slice(0, 100), () => response.destroy());
      },
    ],
    ['never answers', 'ERR_DEADLINE', () => undefined],
    [
      'drips',
      'ERR_DEADLINE',
      (response) => {
        const drip = setInterval(() => response.write(' '), 10);
        response.on('close', () => clearInterval(drip));
      },
    ],
  ])('%s is named, and nothing of it is heard', async (_what, code, answer) => {
    const { url, sockets } = await relay(answer);
    const { source, heard } = await started({ relays: [url], deadlineMs: 300 });
    await vi.waitFor(() => expect(source.status().reason?.code).toBe(code), 10_000);
    expect(source.status().state).toBe('failed');
    expect(heard).toEqual([]);
    expect(await source.sample(AbortSignal.timeout(1_000))).toBeUndefined();
    await source.stop();
    await vi.waitFor(() => expect(sockets.size).toBe(0), 10_000);
  });

  it.each<[string, string, (socket: Socket) => void]>([
    ['does not speak HTTP', 'ERR_UPSTREAM_PROTOCOL', (socket) => socket.write('SSH-2.0-OpenSSH_9.2p1\r\n')],
    [
      'sends headers without end',
      'ERR_UPSTREAM_PROTOCOL',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const more = (): void =>
          void (socket.writable && socket.write(`x-a: ${'a'.repeat(1_000)}\r\n`, () => setImmediate(more)));
        more();
      },
    ],
    [
      'speaks another protocol',
      'ERR_UPSTREAM_PROTOCOL',
      (socket) =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
    ],
    [
      'says for ever that it goes on',
      'ERR_DEADLINE',
      (socket) => {
        const more = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 5);
        socket.on('close', () => clearInterval(more));
      },
    ],
    ['hangs up at once', 'ERR_UPSTREAM_UNREACHABLE', (socket) => socket.destroy()],
  ])('%s is named', async (_what, code, serve) => {
    const { url, sockets } = await rawRelay((socket) => socket.once('data', () => serve(socket)));
    const { source, heard } = await started({ relays: [url], deadlineMs: 300 });
    await vi.waitFor(() => expect(source.status().reason?.code).toBe(code), 10_000);
    expect(heard).toEqual([]);
    await source.stop();
    await vi.waitFor(() => expect(sockets.size).toBe(0), 10_000);
  });

  it('goes back is named; what was heard stays heard', async () => {
    const { url } = await relay((response, nth) => send(response, own.sign(nth === 1 ? due : due - 1)));
    const { source, heard } = await started({ relays: [url], periodMs: 20 });
    await vi.waitFor(() => expect(source.status().reason?.code).toBe('ERR_DRAND_ROUND'), 10_000);
    expect(heard).toEqual([good.randomness]);
    expect(detail(source, 'round')).toBe(due);
  });

  it('answers the same round with another signature is named', async () => {
    const forged = own.sign(due + 1);
    const { url } = await relay((response, nth) =>
      send(response, nth === 1 ? good : { ...forged, round: due }),
    );
    const { source } = await started({ relays: [url], periodMs: 20 });
    await vi.waitFor(() => expect(source.status().reason?.code).toBe('ERR_DRAND_SIGNATURE'), 10_000);
  });

  it('may be as old as it likes when the chain’s times are not known', async () => {
    const { hash, publicKey, scheme } = own.chain;
    const { url } = await relay((response) => send(response, own.sign(1)));
    const { source, heard } = await started({ relays: [url], chain: { hash, publicKey, scheme } });
    await vi.waitFor(() => expect(heard).toEqual([own.sign(1).randomness]), 10_000);
    expect(detail(source, 'roundTime')).toBeUndefined();
  });
});
