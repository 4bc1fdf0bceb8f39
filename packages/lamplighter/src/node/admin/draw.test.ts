import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { DRAW_LIMITS, DrawBox } from './draw.js';
import { get, notSeeded, post, refusal, serveAdmin } from './served-admin.fixture.js';

describe('the draw box', () => {
  it('needs a session and its CSRF token, also on loopback', async () => {
    let drawn = 0;
    const draw = (): Uint8Array => {
      drawn += 1;
      return new Uint8Array(32);
    };
    const { ask, login } = await serveAdmin({}, { draw });
    const { cookie, csrf } = await login();
    expect(refusal(await ask(post('/v1/draw', '{}')))).toBe('401 ERR_LOGIN');
    expect(refusal(await ask(post('/v1/draw', '{}', { 'x-lamplighter-csrf': csrf })))).toBe('401 ERR_LOGIN');
    expect(refusal(await ask(post('/v1/draw', '{}', { cookie })))).toBe('403 ERR_ORIGIN');
    expect(refusal(await ask(post('/v1/draw', '{}', { cookie, 'x-lamplighter-csrf': '' })))).toBe(
      '403 ERR_ORIGIN',
    );
    expect(refusal(await ask(get('/v1/draw', { cookie, 'x-lamplighter-csrf': csrf })))).toBe(
      '405 ERR_METHOD',
    );
    expect(drawn).toBe(0);
    expect((await ask(post('/v1/draw', '{}', { cookie, 'x-lamplighter-csrf': csrf }))).status).toBe(200);
    expect(drawn).toBe(1);
  });

  it('gives 32 bytes, tells nobody else of them, and wipes them', async () => {
    const given: Uint8Array[] = [];
    const bytes = Uint8Array.from({ length: 32 }, (_none, at) => at * 8 + 3);
    const draw = (lengthBytes: number): Uint8Array => {
      expect(lengthBytes).toBe(32);
      const fresh = Uint8Array.from(bytes);
      given.push(fresh);
      return fresh;
    };
    const { ask, login, connect, logged, events } = await serveAdmin({}, { draw });
    const { cookie, csrf } = await login();
    const stream = await connect();
    stream.socket.write(get('/v1/events'));
    await stream.until('event: status');
    const commitment = '0'.repeat(64);
    const answer = await ask(
      post('/v1/draw', JSON.stringify({ commitment }), { cookie, 'x-lamplighter-csrf': csrf }),
    );
    const hex = Buffer.from(bytes).toString('hex');
    expect(JSON.parse(answer.body)).toEqual({ bytes: hex });
    expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', 'content-type': 'application/json' });
    expect(given.map((one) => one.every((byte) => byte === 0))).toEqual([true]);
    events.add({ level: 'info', part: 'node', text: 'later' });
    await stream.until('later');
    for (const told of [stream.text, ...logged, JSON.stringify(events.since(0))])
      expect(told).not.toContain(hex);
  });

  it('refuses what is no commitment, and repeats nothing of it', async () => {
    const { ask, login } = await serveAdmin();
    const { cookie, csrf } = await login();
    for (const commitment of ['x', '0'.repeat(63), '0'.repeat(65), 7, null]) {
      const body = JSON.stringify({ commitment });
      const answer = await ask(post('/v1/draw', body, { cookie, 'x-lamplighter-csrf': csrf }));
      expect(refusal(answer)).toBe('400 ERR_BAD_REQUEST');
    }
  });

  it('has nothing before the node is seeded', async () => {
    const { ask, login } = await serveAdmin({}, { draw: notSeeded });
    const { cookie, csrf } = await login();
    const answer = await ask(post('/v1/draw', '{}', { cookie, 'x-lamplighter-csrf': csrf }));
    expect(refusal(answer)).toBe('503 ERR_NOT_SEEDED');
    expect(answer.headers['retry-after']).toBe('1');
  });

  it('is for people: the burst, then two a second', () => {
    const environment = fixedEnvironment();
    let drawn = 0;
    const box = new DrawBox((lengthBytes) => {
      drawn += 1;
      return new Uint8Array(lengthBytes);
    }, environment);
    for (let times = 0; times < DRAW_LIMITS.burst; times += 1) expect(box.draw().status).toBe(200);
    expect(() => box.draw()).toThrow(
      expect.objectContaining({ code: 'ERR_QUOTA', retryAfterMs: 500 }) as Error,
    );
    expect(drawn).toBe(DRAW_LIMITS.burst);
    environment.advance(500);
    expect(box.draw().status).toBe(200);
  });
});
