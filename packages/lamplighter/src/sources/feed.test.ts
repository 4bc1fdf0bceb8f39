import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type TestAuthority, testAuthority } from '../identity/made-certificates.fixture.js';
import { systemEnvironment } from '../local/environment.js';
import { testNode } from '../outlets/context.fixture.js';
import { feedOutlet } from '../outlets/feed.js';
import type { Outlet } from '../outlets/outlet.js';
import { type Basis, NO_BASIS } from '../wire/basis.js';
import type { Upstream } from '../wire/client.js';
import { FEED_CONTENT_TYPE, FEED_FRAME_LENGTH_BYTES, FEED_PATH, encodeFeedFrame } from '../wire/feed.js';
import type { ResponseStream } from '../wire/listener.js';
import { type Loopback, loopback, serveAnything } from '../wire/loopback.fixture.js';
import { feedSource } from './feed.js';
import { describeSourceCompliance } from './source.compliance.js';
import type { Source } from './source.js';

const LAMPS: Basis = { simulated: true, degraded: false, physical: true };
const PAYLOAD = Uint8Array.from({ length: 64 }, (_, index) => index);
const frameAt = (sequence: bigint, basis: Basis = LAMPS): Uint8Array =>
  encodeFeedFrame({ basis, sequence, realtimeNs: 0n, payload: PAYLOAD });

let authority: TestAuthority;
let server: Loopback;
const sources: Source[] = [];
const outlets: Outlet[] = [];

beforeEach(async () => {
  authority = await testAuthority();
  server = await loopback({ authority });
});

afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.stop()));
  await Promise.all(outlets.splice(0).map((outlet) => outlet.stop(1_000)));
  await server.stop();
});

/** A real outlet on the listener there is now. */
async function serveFeed(basis: Basis = LAMPS): Promise<void> {
  const node = testNode();
  node.seed();
  node.basis = basis;
  const outlet = feedOutlet({ name: 'feed', listener: server.listener, environment: systemEnvironment() });
  await outlet.start(node.context, new AbortController().signal);
  outlets.push(outlet);
}

/** A started source, and everything it hears. */
async function subscribe(options: { upstream?: Upstream; stallGraceMs?: number } = {}) {
  const upstream = options.upstream ?? (await server.upstream('relay'));
  const source = feedSource(
    { upstream, intervalMs: 100, stallGraceMs: 5_000, ...options },
    systemEnvironment(),
  );
  const heard: string[] = [];
  /** What the source said of itself at the moment each event was heard. */
  const bases: Basis[] = [];
  const hear = (bytes: Uint8Array): void => {
    heard.push(Buffer.from(bytes).toString('hex'));
    bases.push(source.status().basis);
  };
  sources.push(source);
  await source.start({ hear }, new AbortController().signal);
  return { source, heard, bases };
}

const soon = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 8_000, interval: 5 });

describeSourceCompliance('feed', async () => {
  const office = await loopback({ role: 'office' });
  const node = testNode();
  node.seed();
  const environment = systemEnvironment();
  const outlet = feedOutlet({ name: 'feed', listener: office.listener, environment });
  await outlet.start(node.context, new AbortController().signal);
  return {
    source: feedSource({ upstream: await office.upstream('relay'), intervalMs: 100 }, environment),
    async cleanUp() {
      await outlet.stop(1_000);
      await office.stop();
    },
  };
});

describe('feedSource with a real outlet', () => {
  it('hears every payload once and says whom from', async () => {
    await serveFeed();
    const { source, heard, bases } = await subscribe();
    expect(source.position).toBe('outside');
    await soon(() => expect(heard.length).toBeGreaterThanOrEqual(3));
    expect(new Set(heard).size).toBe(heard.length);
    expect(heard.every((payload) => payload.length === 128)).toBe(true);
    expect(bases.every((basis) => basis.simulated)).toBe(true);
    expect(source.status()).toMatchObject({
      state: 'ok',
      basis: LAMPS,
      details: {
        frames: heard.length,
        reconnects: 0,
        upstream: 'upstream',
        role: 'relay',
        sequence: `${heard.length}`,
      },
    });
  });

  it('answers rounds with payloads that were in no earlier answer', async () => {
    await serveFeed();
    const { source, heard } = await subscribe();
    await soon(() => expect(heard.length).toBeGreaterThan(0));
    const { signal } = new AbortController();
    const answers = [
      await source.sample(signal),
      await source.sample(signal),
      ...(await Promise.all([source.sample(signal), source.sample(signal)])),
    ].map((bytes) => Buffer.from(bytes ?? []).toString('hex'));
    expect(new Set(answers).size).toBe(4);
    expect(heard).toEqual(expect.arrayContaining(answers));
  });

  it('heals when the upstream restarts on the same port, and claims nothing in between', async () => {
    await serveFeed();
    const { source, heard } = await subscribe();
    await soon(() => expect(heard.length).toBeGreaterThan(0));
    await server.stop(100);
    await soon(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_UNREACHABLE'));
    expect(source.status()).toMatchObject({ state: 'failed', basis: { ...NO_BASIS, simulated: true } });

    server = await loopback({ authority, port: server.port });
    await serveFeed();
    const before = heard.length;
    await soon(() => expect(heard.length).toBeGreaterThan(before));
    expect(source.status()).toMatchObject({ state: 'ok', basis: LAMPS, details: { reconnects: 1 } });
    expect(source.status().reason).toBeUndefined();
  }, 15_000);

  it('shows an orderly end of the feed', async () => {
    await serveFeed();
    const { source, heard } = await subscribe();
    await soon(() => expect(heard.length).toBeGreaterThan(0));
    await outlets[0]?.stop(1_000);
    await soon(() => expect(source.status().state).toBe('failed'));
    expect(['ERR_FEED_ENDED', 'ERR_UPSTREAM_STATUS']).toContain(source.status().reason?.code);
  });

  it('is told when the upstream is not ready', async () => {
    const node = testNode();
    const outlet = feedOutlet({ name: 'feed', listener: server.listener, environment: systemEnvironment() });
    await outlet.start(node.context, new AbortController().signal);
    outlets.push(outlet);
    const { source, heard } = await subscribe();
    await soon(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_NOT_READY'));
    expect(source.status().reason?.message).toBe(
      'the upstream is not ready: 503 ERR_NOT_SEEDED, ask again in 1 s',
    );
    node.seed();
    await soon(() => expect(heard.length).toBeGreaterThan(0));
  });

  it('is told when its role may not ask', async () => {
    await serveFeed();
    const { source } = await subscribe({ upstream: await server.upstream('machine') });
    await soon(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_STATUS'));
    expect(source.status().reason?.message).toBe('the upstream refused: 403 ERR_ROLE');
  });

  it('hears nothing from a server whose role may not speak', async () => {
    await serveFeed();
    const upstream = { ...(await server.upstream('relay')), roles: ['office'] as const };
    const { source, heard } = await subscribe({ upstream });
    await soon(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_ROLE'));
    expect(heard).toEqual([]);
  });
});

/** Serves whatever is written to the stream, to every subscriber. */
function serveBytes(write: (stream: ResponseStream) => Promise<void>, contentType = FEED_CONTENT_TYPE): void {
  serveAnything(server.listener, 'GET', FEED_PATH, (exchange) =>
    write(exchange.stream({ 'content-type': contentType })).catch(() => undefined),
  );
}

describe('feedSource with a hostile upstream', () => {
  const wrongMagic = (): Uint8Array => {
    const bytes = frameAt(2n);
    bytes[0] = 0x6c;
    return bytes;
  };
  const overlong = (): Uint8Array => {
    const bytes = frameAt(2n);
    new DataView(bytes.buffer).setUint16(6, 65_535);
    return bytes;
  };

  it.each([
    ['ERR_FEED_MAGIC', wrongMagic()],
    ['ERR_FEED_SEQUENCE', frameAt(0n)],
    ['ERR_FEED_FRAME_LENGTH', overlong()],
    ['ERR_FEED_MAGIC', Buffer.from('HTTP/1.1 200 OK\r\n\r\n<html>')],
  ])('names %s, keeps what came before it, and tries again', async (code, bytes) => {
    serveBytes((stream) => stream.write(Buffer.concat([frameAt(1n), bytes])));
    const { source, heard } = await subscribe();
    await soon(() => expect(source.status().reason?.code).toBe(code));
    expect(source.status()).toMatchObject({ state: 'failed', basis: { ...NO_BASIS, simulated: true } });
    await soon(() => expect(source.status().details['reconnects']).toBeGreaterThanOrEqual(1));
    expect(new Set(heard)).toEqual(new Set([Buffer.from(PAYLOAD).toString('hex')]));
  });

  it('counts a silent upstream as stalled, also one that drips single bytes', async () => {
    serveBytes(async (stream) => {
      await stream.write(frameAt(1n));
      const more = frameAt(2n);
      for (let at = 0; at < FEED_FRAME_LENGTH_BYTES; at += 1) {
        await stream.write(more.subarray(at, at + 1));
        await systemEnvironment().timers.sleep(20);
      }
    });
    const { source, heard } = await subscribe({ stallGraceMs: 100 });
    await soon(() => expect(source.status().reason?.code).toBe('ERR_FEED_STALLED'));
    expect(heard).toHaveLength(1);
    expect(source.status()).toMatchObject({ state: 'failed', basis: { physical: false } });
  });

  it('counts an upstream that never sends a frame as stalled', async () => {
    serveBytes(() => Promise.resolve());
    const { source } = await subscribe({ stallGraceMs: 0 });
    await soon(() => expect(source.status().reason?.code).toBe('ERR_FEED_STALLED'));
  });

  it('shows a cut in the middle of a frame at once', async () => {
    serveBytes(async (stream) => {
      await stream.write(Buffer.concat([frameAt(1n), frameAt(2n).subarray(0, 40)]));
    });
    const { source, heard } = await subscribe();
    await soon(() => expect(heard).toHaveLength(1));
    await server.stop(0);
    await soon(() => expect(source.status().state).toBe('failed'));
    expect(heard).toHaveLength(1);
  });

  it('refuses an answer that is no feed', async () => {
    let answers = 0;
    const write = (stream: ResponseStream): Promise<void> => {
      answers += 1;
      return stream.write(frameAt(1n));
    };
    serveBytes(write, 'text/html');
    const { source, heard } = await subscribe();
    await soon(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_PROTOCOL'));
    expect(heard).toEqual([]);
    // Each attempt lets go of its connection before the next.
    await soon(() => expect(answers).toBeGreaterThanOrEqual(3));
    await soon(() => expect(server.listener.connections).toBeLessThanOrEqual(1));
  });

  it('passes on no text of a refusal but a code of our own alphabet', async () => {
    serveAnything(server.listener, 'GET', FEED_PATH, (exchange) => {
      const problem = { code: '\u001b[31mERR', detail: 'rm -rf' };
      exchange.reply(
        429,
        { 'content-type': 'application/problem+json' },
        Buffer.from(JSON.stringify(problem)),
      );
      return Promise.resolve();
    });
    const { source } = await subscribe();
    await soon(() => expect(source.status().reason?.message).toBe('the upstream refused: 429'));
  });

  it('takes the credit away with the frame that no longer claims it', async () => {
    let next: (() => void) | undefined;
    serveBytes(async (stream) => {
      await stream.write(frameAt(1n));
      await new Promise<void>((resolve) => {
        next = resolve;
      });
      await stream.write(frameAt(2n, { ...NO_BASIS, degraded: true }));
    });
    const { source, heard } = await subscribe();
    await soon(() => expect(heard).toHaveLength(1));
    expect(source.status().basis).toEqual(LAMPS);
    next?.();
    await soon(() => expect(heard).toHaveLength(2));
    expect(source.status().basis).toEqual({ simulated: true, degraded: true, physical: false });
  });
});

describe('feedSource by itself', () => {
  it('is never sampled past the deadline, and forgets who gave up', async () => {
    let send: (() => void) | undefined;
    serveBytes(async (stream) => {
      await new Promise<void>((resolve) => {
        send = resolve;
      });
      await stream.write(frameAt(1n));
    });
    const { source, heard } = await subscribe();
    const early = new AbortController();
    const answer = source.sample(early.signal);
    early.abort();
    await expect(answer).resolves.toBeUndefined();
    await expect(source.sample(early.signal)).resolves.toBeUndefined();

    await soon(() => expect(send).toBeDefined());
    const patient = source.sample(new AbortController().signal);
    send?.();
    await expect(patient).resolves.toEqual(PAYLOAD);
    expect(heard).toHaveLength(1);
  });

  it('stops at once while it waits for an answer, a frame or a reconnect, and answers nobody then', async () => {
    serveAnything(server.listener, 'GET', FEED_PATH, () => new Promise(() => undefined));
    const nowhere = { ...(await server.upstream('relay')), url: new URL('https://127.0.0.1:1') };
    for (const upstream of [undefined, nowhere]) {
      const { source } = await subscribe(upstream && { upstream });
      if (upstream !== undefined) {
        await soon(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_UNREACHABLE'));
      }
      const waiting = source.sample(new AbortController().signal);
      await source.stop();
      await source.stop();
      await expect(waiting).resolves.toBeUndefined();
      await expect(source.sample(new AbortController().signal)).resolves.toBeUndefined();
      expect(source.status()).toMatchObject({ state: 'stopped', basis: NO_BASIS });
    }
    await soon(() => expect(server.listener.connections).toBe(0));
  });

  it('lets go of its connection when the node stops', async () => {
    await serveFeed();
    const controller = new AbortController();
    const source = feedSource(
      { upstream: await server.upstream('relay'), intervalMs: 100 },
      systemEnvironment(),
    );
    sources.push(source);
    await source.start({ hear: () => undefined }, controller.signal);
    await soon(() => expect(server.listener.connections).toBe(1));
    controller.abort();
    await soon(() => expect(server.listener.connections).toBe(0));
    expect(source.status().state).toBe('stopped');
  });

  it('refuses an interval no feed has', async () => {
    const upstream = await server.upstream('relay');
    for (const intervalMs of [99, 60_001, Number.NaN]) {
      expect(() => feedSource({ upstream, intervalMs }, systemEnvironment())).toThrow(RangeError);
    }
  });
});
