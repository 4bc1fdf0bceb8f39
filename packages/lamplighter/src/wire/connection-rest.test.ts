import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import type { ListenerOptions } from './listener.js';
import type { Answers, RawAnswer } from './raw-peer.fixture.js';
import { connect, get, serve, type Served } from './served-listener.fixture.js';

const ANSWER_MS = 20;
/** A rest is 0.4 s at least; the loop that hears of it stands still for some answers. */
const LEAST_REST_MS = 200;

/** A listener that cannot keep up, and a client of it that was just refused for asking too much. */
async function overloaded(
  options: ListenerOptions = {},
): Promise<{ served: Served; peer: Answers; answers: RawAnswer[] }> {
  const served = await serve({ maxLagMs: 1, maxQueued: 1, ...options });
  served.listener.route({
    method: 'POST',
    path: '/slow',
    roles: ['machine'],
    maxBodyBytes: 1,
    handle: async (exchange) => {
      const endMs = performance.now() + ANSWER_MS;
      while (performance.now() < endMs);
      exchange.reply(200, {}, exchange.body);
    },
  });
  const peer = await connect(served.port);
  peer.socket.write('POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx'.repeat(6));
  const answers: RawAnswer[] = [];
  while (answers.length < 6) answers.push(await peer.ask(''));
  expect(served.listener.refused.overloaded).toBeGreaterThan(0);
  return { served, peer, answers };
}

describe('who was refused for asking too much', () => {
  it('is owed nothing, is not read for a while, and then is served as ever', async () => {
    const { served, peer, answers } = await overloaded();
    const refused = answers.filter(({ status }) => status === 503);
    expect(refused.length).toBe(served.listener.refused.overloaded);
    expect(answers.filter(({ body }) => body === 'x').length).toBe(6 - refused.length);
    const sinceMs = performance.now();
    expect((await peer.ask(get('/hello'))).status).toBe(200);
    expect(performance.now() - sinceMs).toBeGreaterThan(LEAST_REST_MS);
    const againMs = performance.now();
    expect((await peer.ask(get('/hello'))).status).toBe(200);
    expect(performance.now() - againMs).toBeLessThan(LEAST_REST_MS);
  });

  it('does not keep another waiting', async () => {
    const { served, peer } = await overloaded();
    const other = await connect(served.port, { role: 'machine', name: 'other' });
    let hasRested = false;
    const late = peer.ask(get('/hello')).then(() => (hasRested = true));
    expect((await other.ask(get('/hello'))).status).toBe(200);
    expect(hasRested).toBe(false);
    await late;
  });

  it('is not late because nobody read it', async () => {
    const { served, peer } = await overloaded({ headersTimeoutMs: 100 });
    expect((await peer.ask(get('/hello'))).status).toBe(200);
    expect(served.listener.refused.headersTimeout).toBe(0);
  });

  it.each<[string, (served: Served) => unknown]>([
    ['stopped', ({ listener }) => listener.stop(10_000)],
    ['cut', ({ listener }) => listener.cut()],
    [
      'revoked',
      ({ listener }) => listener.destroyPeers(() => true, new LamplighterError('ERR_REVOKED', 'revoked')),
    ],
  ])('is gone at once when it is %s', async (_what, end) => {
    const { served, peer } = await overloaded();
    const sinceMs = performance.now();
    await end(served);
    await peer.closed;
    expect(performance.now() - sinceMs).toBeLessThan(LEAST_REST_MS);
    expect(served.listener.connections).toBe(0);
  });
});
