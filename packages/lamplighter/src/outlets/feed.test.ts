import { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Role } from '../identity/roles.js';
import { systemEnvironment } from '../local/environment.js';
import type { Stream } from '../local/stream.js';
import { NO_BASIS } from '../wire/basis.js';
import { type Upstream, type UpstreamResponse, problemCodeOf, readBounded, request } from '../wire/client.js';
import { FEED_FRAME_LENGTH_BYTES, FEED_PATH, FeedDecoder, type FeedFrame } from '../wire/feed.js';
import { type Loopback, gatedPair, loopback } from '../wire/loopback.fixture.js';
import { WITHIN } from '../within.fixture.js';
import { type TestNode, testNode } from './context.fixture.js';
import { feedOutlet } from './feed.js';
import { describeOutletCompliance } from './outlet.compliance.js';
import type { Outlet, OutletContext } from './outlet.js';

let server: Loopback;
let node: TestNode;
let outlet: Outlet;
/** Reads of the outlet's stream: every one is a payload made. */
let made: number;
/** What a subscriber may still have, for tests of the quota. */
let bytesLeft: number;

function counted(stream: Stream): Stream {
  return {
    get generation() {
      return stream.generation;
    },
    read(lengthBytes) {
      made += 1;
      return stream.read(lengthBytes);
    },
    readInto: (target) => {
      made += 1;
      stream.readInto(target);
    },
    close: () => stream.close(),
  };
}

beforeEach(async () => {
  bytesLeft = Infinity;
  server = await loopback({
    gate: {
      open: () => {},
      close: () => {},
      admit: () => {},
      spend: (_peer, what, amount) => {
        expect(what).toBe('feedBytes');
        if (amount > bytesLeft) throw new LamplighterError('ERR_QUOTA', 'no more', { retryAfterMs: 60_000 });
        bytesLeft -= amount;
      },
    },
  });
  node = testNode();
  made = 0;
  outlet = feedOutlet({
    name: 'feed',
    listener: server.listener,
    environment: systemEnvironment(),
    maxSubscribers: 2,
    stallGraceMs: 0,
  });
  const context: OutletContext = { ...node.context, stream: (label) => counted(node.context.stream(label)) };
  await outlet.start(context, new AbortController().signal);
});

afterEach(async () => {
  await outlet.stop(1_000);
  await server.stop();
});

const ask = (upstream: Upstream, query: string): Promise<UpstreamResponse> =>
  request(upstream, { method: 'GET', path: `${FEED_PATH}${query}`, deadlineMs: 5_000 });

async function refusal(role: Role, query = ''): Promise<{ status: number; code: string | undefined }> {
  const { status, body } = await ask(await server.upstream(role), query);
  return { status, code: problemCodeOf(await readBounded(body, 4_096))?.code };
}

/** The next frames of one response. */
async function* framesOf({ body }: UpstreamResponse): AsyncGenerator<FeedFrame, void, undefined> {
  const decoder = new FeedDecoder();
  for await (const chunk of body as AsyncIterable<Buffer>) yield* decoder.push(chunk);
}

async function take(frames: AsyncGenerator<FeedFrame>, count: number): Promise<FeedFrame[]> {
  const taken: FeedFrame[] = [];
  while (taken.length < count) {
    const next = await frames.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describeOutletCompliance('feed', async () => {
  const relay = await loopback();
  const upstream = await relay.upstream('relay');
  return {
    outlet: feedOutlet({ name: 'feed', listener: relay.listener, environment: systemEnvironment() }),
    async ask() {
      const response = await ask(upstream, '?interval=60000');
      if (response.status === 503) return undefined;
      const [frame] = await take(framesOf(response), 1);
      response.body.destroy();
      return frame?.payload;
    },
    cleanUp: () => relay.stop(),
  };
});

describe('feedOutlet refuses', () => {
  it.each(['99', '60001', 'soon', ''])('an interval of %j', async (interval) => {
    node.seed();
    await expect(refusal('relay', `?interval=${interval}`)).resolves.toEqual({
      status: 400,
      code: 'ERR_INTERVAL',
    });
    expect(outlet.status().details['refused']).toBe(1);
  });

  it('everybody before the node is seeded, and says so in its status', async () => {
    expect(outlet.status().state).toBe('waiting');
    await expect(refusal('service')).resolves.toEqual({ status: 503, code: 'ERR_NOT_SEEDED' });
    expect(made).toBe(0);
    node.seed();
    expect(outlet.status().state).toBe('ok');
  });

  it.each(['office', 'machine', 'admin'] as const)('the role %s', async (role) => {
    node.seed();
    await expect(refusal(role)).resolves.toEqual({ status: 403, code: 'ERR_ROLE' });
  });

  it('one subscriber too many, until another leaves', async () => {
    node.seed();
    const upstream = await server.upstream('relay');
    const [first] = await Promise.all([ask(upstream, ''), ask(upstream, '')]);
    await expect(refusal('relay')).resolves.toEqual({ status: 503, code: 'ERR_TOO_MANY_CONNECTIONS' });
    first.body.destroy();
    await vi.waitFor(() => expect(outlet.status().details['subscribers']).toBe(1), WITHIN);
    const third = await ask(upstream, '');
    expect(third.status).toBe(200);
  });
});

describe('feedOutlet sends', () => {
  it.each(['relay', 'service'] as const)('its first frame at once, to the role %s', async (role) => {
    node.seed();
    const response = await ask(await server.upstream(role), '?interval=60000');
    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'cache-control': 'no-store',
    });
    const [frame] = await take(framesOf(response), 1);
    expect(frame).toMatchObject({ sequence: 1n, basis: NO_BASIS });
    expect(made).toBe(1);
  });

  it('frames whose sequence rises, whose payloads all differ, and whose basis is that of their moment', async () => {
    node.seed();
    const frames = framesOf(await ask(await server.upstream('relay'), '?interval=100'));
    const early = await take(frames, 2);
    node.basis = { simulated: true, degraded: false, physical: true };
    node.state = 'degraded';
    const late = await take(frames, 3);
    expect([...early, ...late].map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n, 4n, 5n]);
    expect(new Set([...early, ...late].map(({ payload }) => hex(payload))).size).toBe(5);
    expect(early[0]?.basis).toEqual(NO_BASIS);
    expect(late.at(-1)?.basis).toEqual(node.basis);
    expect(outlet.status()).toMatchObject({ bytes: Number(outlet.status().details['frames']) * 64 });
  });

  it('no faster than it was asked to', async () => {
    node.seed();
    const frames = framesOf(await ask(await server.upstream('relay'), '?interval=100'));
    await take(frames, 1);
    const startedMs = performance.now();
    await take(frames, 3);
    // Three intervals, less what the first frame may have been late.
    expect(performance.now() - startedMs).toBeGreaterThan(200);
  });

  it('no byte to two subscribers', async () => {
    node.seed();
    const upstream = await server.upstream('relay');
    const responses = await Promise.all([ask(upstream, '?interval=100'), ask(upstream, '?interval=100')]);
    const all = (await Promise.all(responses.map((response) => take(framesOf(response), 4)))).flat();
    expect(all).toHaveLength(8);
    // Halves too: what is shared between two payloads would show in any aligned part of them.
    const parts = all.flatMap(({ payload }) => [hex(payload.subarray(0, 32)), hex(payload.subarray(32))]);
    expect(new Set(parts).size).toBe(16);
  });

  it('nothing ahead to a subscriber that does not read, and drops it', async () => {
    node.seed();
    const { ends, shut } = gatedPair();
    server.listener.accept(ends[0]);
    const response = await ask(await server.upstream('relay', { connect: () => ends[1] }), '?interval=100');
    await take(framesOf(response), 1);
    shut();
    const before = made;
    await vi.waitFor(
      () => expect(outlet.status().details).toMatchObject({ subscribers: 0, dropped: 1 }),
      WITHIN,
    );
    // The one that found the gate shut; one more if it was made before the gate fell.
    expect(made - before).toBeLessThanOrEqual(2);
    await vi.waitFor(() => expect(ends[0].destroyed).toBe(true), WITHIN);
  });
});

describe('feedOutlet gives what a subscriber may have', () => {
  it('and ends its stream properly between two frames when that is used up', async () => {
    node.seed();
    bytesLeft = 3 * FEED_FRAME_LENGTH_BYTES - 1;
    const response = await ask(await server.upstream('relay'), '?interval=100');
    const frames = await take(framesOf(response), 10);
    expect(frames.map(({ sequence }) => sequence)).toEqual([1n, 2n]);
    expect(response.body.complete).toBe(true);
    expect(made).toBe(2);
    await vi.waitFor(
      () => expect(outlet.status().details).toMatchObject({ subscribers: 0, dropped: 1 }),
      WITHIN,
    );
  });

  it('and refuses with 429 who has nothing left, before anything is made', async () => {
    node.seed();
    bytesLeft = FEED_FRAME_LENGTH_BYTES - 1;
    const { status, headers, body } = await ask(await server.upstream('relay'), '?interval=100');
    expect(status).toBe(429);
    expect(headers['retry-after']).toBe('60');
    expect(problemCodeOf(await readBounded(body, 4_096))?.code).toBe('ERR_QUOTA');
    expect(made).toBe(0);
    expect(outlet.status().details).toMatchObject({ dropped: 0, refused: 1 });
  });
});

describe('feedOutlet stops', () => {
  it('with a proper end for every subscriber, and serves no more', async () => {
    node.seed();
    const response = await ask(await server.upstream('relay'), '?interval=60000');
    const frames = framesOf(response);
    await take(frames, 1);
    await outlet.stop(5_000);
    await outlet.stop(5_000);
    await expect(frames.next()).resolves.toEqual({ done: true, value: undefined });
    expect(response.body.complete).toBe(true);
    expect(outlet.status()).toMatchObject({ state: 'stopped', details: { subscribers: 0 } });
    await expect(refusal('relay')).resolves.toMatchObject({ status: 404 });
  });

  it('by its deadline when a subscriber does not read', async () => {
    node.seed();
    const { ends, shut } = gatedPair();
    server.listener.accept(ends[0]);
    const response = await ask(await server.upstream('relay', { connect: () => ends[1] }), '?interval=60000');
    await take(framesOf(response), 1);
    shut();
    const startedMs = performance.now();
    await outlet.stop(50);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });
});
