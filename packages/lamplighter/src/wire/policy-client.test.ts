import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NO_POLICY, type Policy } from '../identity/policy.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import type { Upstream } from './client.js';
import type { Exchange } from './listener.js';
import { type Loopback, loopback, serveAnything } from './loopback.fixture.js';
import { encodePolicy, encodePolicyAlive, POLICY_CONTENT_TYPE, POLICY_PATH } from './policy.js';
import { followPolicy } from './policy-client.js';

const WEB: Policy = { ...NO_POLICY, revokedNames: new Set(['web-1']) };
const BOTH: Policy = { ...NO_POLICY, revokedNames: new Set(['web-1', 'web-2']) };

let relay: Loopback;
let upstream: Upstream;
let stop: (() => Promise<void>) | undefined;
beforeEach(async () => {
  relay = await loopback();
  upstream = await relay.upstream('relay');
});
afterEach(async () => {
  await stop?.();
  stop = undefined;
  await relay.stop(0);
});

/** Follows, and waits for whatever comes next: a policy, or why there is none. */
function following(environment: Environment = quick(), from: Upstream = upstream) {
  const heard: (Policy | { code: unknown; message: string })[] = [];
  const waiting: (() => void)[] = [];
  const hear = (what: Policy | { code: unknown; message: string }): void => {
    heard.push(what);
    for (const wake of waiting.splice(0)) wake();
  };
  const stopping = new AbortController();
  const done = followPolicy(
    from,
    {
      environment,
      onPolicy: hear,
      onFault: (error) => {
        const { code, message } = error as { code: unknown; message: string };
        hear({ code, message });
      },
    },
    stopping.signal,
  );
  stop = () => {
    stopping.abort();
    return done;
  };
  let at = 0;
  return {
    heard,
    next: async () => {
      while (heard.length <= at) {
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
        });
      }
      return heard[at++];
    },
  };
}

/** A machine on which every wait of the client is a hundredth. */
function quick(share = 0.01): Environment {
  const system = systemEnvironment();
  const { timers } = system;
  return {
    ...system,
    timers: {
      ...timers,
      after: (delayMs, run) => timers.after(delayMs * share, run),
      sleep: (delayMs, signal) => timers.sleep(delayMs * share, signal),
    },
  };
}

type Answer = (exchange: Exchange, connection: number) => Promise<void>;

/** @returns how many have asked */
function serve(answer: Answer): () => number {
  let connections = 0;
  serveAnything(relay.listener, 'GET', POLICY_PATH, (exchange) => answer(exchange, ++connections));
  return () => connections;
}

/** Lines, and then nothing more until the client goes. */
const telling =
  (...lines: readonly (string | Uint8Array)[]): Answer =>
  async (exchange) => {
    const stream = exchange.stream({ 'content-type': POLICY_CONTENT_TYPE });
    for (const line of lines) await stream.write(Buffer.from(line)).catch(() => undefined);
    await new Promise((resolve) => exchange.signal.addEventListener('abort', resolve, { once: true }));
  };

describe('followPolicy', () => {
  it('hears the whole, every change, and the whole again after a lost connection', async () => {
    serve(async (exchange, connection) => {
      const stream = exchange.stream({ 'content-type': POLICY_CONTENT_TYPE });
      const policy = connection === 1 ? WEB : BOTH;
      // In pieces as small as they come.
      for (const byte of Buffer.concat(encodePolicy(policy, 1))) await stream.write(Uint8Array.of(byte));
      await stream.write(encodePolicyAlive(1));
      if (connection === 1) stream.end();
    });
    const { next } = following();
    expect(await next()).toEqual(WEB);
    expect(await next()).toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
    expect(await next()).toEqual(BOTH);
  });

  it('believes nothing of what broke off before it was whole', async () => {
    serve(async (exchange) => {
      const stream = exchange.stream({ 'content-type': POLICY_CONTENT_TYPE });
      for (const line of encodePolicy(BOTH, 1).slice(0, -1)) await stream.write(line);
      stream.end();
    });
    const { next } = following();
    expect(await next()).toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
    expect(await next()).toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
  });

  it.each<[string, string, Answer]>([
    ['silence', 'ERR_DEADLINE', telling()],
    ['silence after the whole', 'ERR_DEADLINE', telling(...encodePolicy(WEB, 1))],
    ['bytes that never end a line', 'ERR_UPSTREAM_PROTOCOL', telling(Buffer.alloc(70_000, 0x20))],
    ['garbage', 'ERR_UPSTREAM_PROTOCOL', telling('\u0000\n')],
    [
      'a heartbeat of another policy',
      'ERR_UPSTREAM_PROTOCOL',
      telling(...encodePolicy(WEB, 1), encodePolicyAlive(2)),
    ],
    [
      'another media type',
      'ERR_UPSTREAM_PROTOCOL',
      async (exchange) =>
        exchange.reply(200, { 'content-type': 'text/plain' }, Buffer.concat(encodePolicy(WEB, 1))),
    ],
    ['a refusal', 'ERR_UPSTREAM_STATUS', async (exchange) => exchange.reply(404, {}, new Uint8Array(0))],
  ])('names %s', async (_what, code, answer) => {
    serve(answer);
    const { next, heard } = following();
    let fault = await next();
    while (fault !== undefined && 'quotas' in fault) fault = await next();
    expect(fault).toMatchObject({ code });
    // And asks again.
    const asked = heard.length;
    while (heard.length === asked) await next();
  });

  it('gives up on who tells it for ever', async () => {
    serve(async (exchange) => {
      const stream = exchange.stream({ 'content-type': POLICY_CONTENT_TYPE });
      await stream.write(Buffer.from('{"type":"snapshot","sequence":1}\n'));
      for (let i = 0; !exchange.signal.aborted; i++) {
        await stream.write(Buffer.from(`{"type":"part","names":["n${i % 1_000}"]}\n`)).catch(() => undefined);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const { next } = following(quick(0.005));
    expect(await next()).toMatchObject({ code: 'ERR_DEADLINE' });
  });

  it('asks nobody who may not be an authority, or has another name', async () => {
    const asked = serve(telling(...encodePolicy(NO_POLICY, 1)));
    const { next } = following(quick(), { ...upstream, roles: ['office'] });
    expect(await next()).toMatchObject({ code: 'ERR_UPSTREAM_ROLE' });
    await stop?.();
    const other = following(quick(), { ...upstream, name: 'another' });
    expect(await other.next()).toMatchObject({ code: 'ERR_UPSTREAM_NAME' });
    expect(asked()).toBe(0);
  });

  it('ends at once when told to', async () => {
    serve(telling(...encodePolicy(WEB, 1)));
    const { next, heard } = following();
    expect(await next()).toEqual(WEB);
    await stop?.();
    expect(heard).toHaveLength(1);
  });
});
