import { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NO_BASIS } from './basis.js';
import { BEACON_CONTENT_TYPE, BEACON_PATH, type FetchedBeacon, fetchBeacon } from './beacon.js';
import type { Route } from './listener.js';
import { type Loopback, loopback, serveAnything } from './loopback.fixture.js';

const HEADERS = { 'content-type': BEACON_CONTENT_TYPE };
const NONCE = Uint8Array.from({ length: 32 }, (_, index) => index);

let server: Loopback;
beforeEach(async () => {
  server = await loopback();
});
afterEach(() => server.stop());

/** Fetches one beacon from a relay that answers like this. */
async function fetchFrom(
  handle: Route['handle'],
  options: { nonce?: Uint8Array; deadlineMs?: number; signal?: AbortSignal } = {},
): Promise<FetchedBeacon> {
  serveAnything(server.listener, 'POST', BEACON_PATH, handle);
  return fetchBeacon(await server.upstream('machine'), { nonce: NONCE, deadlineMs: 5_000, ...options });
}

const replying =
  (status: number, headers: Record<string, string>, body: Uint8Array): Route['handle'] =>
  (exchange) => {
    exchange.reply(status, headers, body);
    return Promise.resolve();
  };

describe('fetchBeacon', () => {
  it('sends the nonce and gives back the 64 bytes with what is known of them', async () => {
    let heard: { nonce: Buffer; headers: object } | undefined;
    const beacon = await fetchFrom((exchange) => {
      heard = { nonce: Buffer.from(exchange.body), headers: exchange.headers };
      exchange.reply(
        200,
        { ...HEADERS, 'lamplighter-basis': 'physical, simulated, unheard-of' },
        Buffer.alloc(64, 5),
      );
      return Promise.resolve();
    });
    expect(heard).toMatchObject({ nonce: Buffer.from(NONCE), headers: HEADERS });
    expect(beacon).toMatchObject({
      basis: { simulated: true, degraded: false, physical: true },
      relay: { role: 'relay', name: 'upstream' },
    });
    expect(Buffer.from(beacon.bytes)).toEqual(Buffer.alloc(64, 5));
  });

  it('credits nothing without the header', async () => {
    const { basis } = await fetchFrom(replying(200, HEADERS, new Uint8Array(64)));
    expect(basis).toEqual(NO_BASIS);
  });

  it.each([0, 63, 65, 1_000_000])('refuses an answer of %i bytes', async (lengthBytes) => {
    await expect(fetchFrom(replying(200, HEADERS, new Uint8Array(lengthBytes)))).rejects.toMatchObject({
      code: 'ERR_BEACON_LENGTH',
    });
  });

  it.each([63, 65, 100_000])(
    'refuses %i bytes also when their length was not declared',
    async (lengthBytes) => {
      const answer = fetchFrom(async (exchange) => {
        const stream = exchange.stream(HEADERS);
        await stream.write(new Uint8Array(lengthBytes)).catch(() => undefined);
        stream.end();
      });
      await expect(answer).rejects.toMatchObject({ code: 'ERR_BEACON_LENGTH' });
    },
  );

  it('refuses another media type', async () => {
    await expect(
      fetchFrom(replying(200, { 'content-type': 'text/html' }, new Uint8Array(64))),
    ).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_PROTOCOL',
    });
  });

  it.each([
    [
      503,
      '{"code":"ERR_NOT_SEEDED"}',
      'ERR_UPSTREAM_NOT_READY',
      'the upstream is not ready: 503 ERR_NOT_SEEDED, ask again in 7 s',
    ],
    [
      403,
      '{"code":"ERR_ROLE"}',
      'ERR_UPSTREAM_STATUS',
      'the upstream refused: 403 ERR_ROLE, ask again in 7 s',
    ],
    [404, 'not json', 'ERR_UPSTREAM_STATUS', 'the upstream refused: 404, ask again in 7 s'],
    [400, '{"code":"<b>&#10;bad</b>"}', 'ERR_UPSTREAM_STATUS', 'the upstream refused: 400, ask again in 7 s'],
    [204, '', 'ERR_UPSTREAM_STATUS', 'the upstream refused: 204, ask again in 7 s'],
    [500, 'x'.repeat(100_000), 'ERR_UPSTREAM_STATUS', 'the upstream refused: 500, ask again in 7 s'],
  ])('makes an error of status %i', async (status, body, code, message) => {
    const headers = { 'content-type': 'application/problem+json', 'retry-after': '7' };
    await expect(fetchFrom(replying(status, headers, Buffer.from(body)))).rejects.toMatchObject({
      code,
      message,
    });
  });

  it('keeps its deadline when the relay is silent, or never finishes its answer', async () => {
    const silent = fetchFrom(() => new Promise(() => undefined), { deadlineMs: 100 });
    await expect(silent).rejects.toMatchObject({ code: 'ERR_DEADLINE' });
    await server.stop(0);

    server = await loopback();
    const dripping = fetchFrom((exchange) => exchange.stream(HEADERS).write(new Uint8Array(10)), {
      deadlineMs: 200,
    });
    await expect(dripping).rejects.toMatchObject({ code: 'ERR_DEADLINE' });
  });

  it('gives up when its signal says so', async () => {
    const controller = new AbortController();
    const answer = fetchFrom(
      async (exchange) => {
        await exchange.stream(HEADERS).write(new Uint8Array(10));
        controller.abort();
      },
      { signal: controller.signal },
    );
    await expect(answer).rejects.toThrow();
  });

  it('leaves a nonce that is too long to the relay, and says what it answered', async () => {
    const answer = fetchFrom(
      (exchange) => {
        expect(exchange.body).toHaveLength(65);
        throw new LamplighterError('ERR_NONCE_LENGTH', 'a nonce is at most 64 bytes');
      },
      { nonce: new Uint8Array(65) },
    );
    await expect(answer).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_STATUS',
      message: 'the upstream refused: 413 ERR_NONCE_LENGTH',
    });
  });
});
