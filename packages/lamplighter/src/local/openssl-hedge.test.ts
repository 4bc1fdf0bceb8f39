import { randomInt, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Ability, able, unable } from './ability.js';
import { fixedEnvironment } from './fixed-environment.fixture.js';
import { fixedProcess, notingNative } from './fixed-process.fixture.js';
import { Lamplighter } from './lamplighter.js';
import { OpensslHedge } from './openssl-hedge.js';

function hedgeOn(
  options: { threadId?: number; reseed?: () => Ability<unknown>; available?: () => Ability<unknown> } = {},
) {
  const environment = fixedEnvironment();
  const process = { ...fixedProcess(environment), threadId: options.threadId ?? 0 };
  const notes: { call: string; bytes: string }[] = [];
  const noting = notingNative(notes);
  const native = {
    ...noting,
    ...(options.available && { available: options.available }),
    reseedOpenssl: (bytes: Uint8Array) => options.reseed?.() ?? noting.reseedOpenssl(bytes),
  };
  const lines: string[] = [];
  const lamplighter = Lamplighter.create({ environment, process, native });
  const log = (line: string): void => void lines.push(line);
  const hedge = new OpensslHedge(lamplighter, { environment, process, native, log });
  return { hedge, environment, notes, lines, lamplighter };
}

describe('hedge of OpenSSL', () => {
  it('reseeds with 64 bytes at start and every four to six minutes, never the same, and says so', () => {
    const { hedge, environment, notes, lines } = hedgeOn();
    expect(hedge.status()).toEqual({ state: 'off', reseeds: 0 });
    hedge.start();
    expect(hedge.status()).toMatchObject({ state: 'hedged', reseeds: 1 });
    for (let minute = 0; minute < 60; minute += 1) environment.advance(60_000);
    const { reseeds } = hedge.status();
    expect(reseeds).toBeGreaterThanOrEqual(1 + 10);
    expect(reseeds).toBeLessThanOrEqual(1 + 15);
    expect(notes.map(({ bytes }) => bytes.length)).toEqual(notes.map(() => 128));
    expect(new Set(notes.map(({ bytes }) => bytes)).size).toBe(reseeds);
    expect(lines).toHaveLength(reseeds);
  });

  it('stops', () => {
    const { hedge, environment } = hedgeOn();
    hedge.start();
    hedge.stop();
    hedge.stop();
    environment.advance(3_600_000);
    expect(hedge.status()).toMatchObject({ state: 'off', reseeds: 1 });
  });

  it('in a thread other than the first reseeds once: OpenSSL is one for all', () => {
    const { hedge, environment } = hedgeOn({ threadId: 3 });
    hedge.start();
    environment.advance(3_600_000);
    expect(hedge.status().reseeds).toBe(1);
  });

  it('without the addon says why, and does nothing: not one value of Node’s is drawn, no timer is set', () => {
    const { hedge, environment, notes, lines } = hedgeOn({
      available: () => unable('not built for this machine'),
    });
    hedge.start();
    environment.advance(3_600_000);
    expect(hedge.status()).toEqual({ state: 'unhedged', reason: 'not built for this machine', reseeds: 0 });
    expect(notes).toEqual([]);
    expect(lines).toEqual(['OpenSSL is not hedged: not built for this machine']);
  });

  it('that fails once says why and is tried again', () => {
    let working = false;
    const { hedge, environment } = hedgeOn({
      reseed: () => (working ? able(true) : unable('the OS RNG fails')),
    });
    hedge.start();
    expect(hedge.status()).toEqual({ state: 'unhedged', reason: 'the OS RNG fails', reseeds: 0 });
    working = true;
    environment.advance(360_000);
    expect(hedge.status()).toMatchObject({ state: 'hedged', reseeds: 1 });
    expect(hedge.status().reason).toBeUndefined();
  });

  it('leaves Node’s own functions as they are', () => {
    hedgeOn().hedge.start();
    expect(randomUUID()).toMatch(/^[0-9a-f-]{36}$/);
    expect(randomInt(5)).toBeLessThan(5);
  });
});
