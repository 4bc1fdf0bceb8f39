import { createHmac } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HmacDrbg } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { able, unable } from '../ability.js';
import type { Environment } from '../environment.js';
import { fixedEnvironment } from '../fixed-environment.fixture.js';
import { notingNative } from '../fixed-process.fixture.js';
import { systemNative } from '../native-doors.js';
import { SeedStore } from './seed-store.js';
import { hedgeInput, hedgeOutput, hedgeTls } from './tls-hedge.js';

const SEED = new Uint8Array(64).fill(7);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('x', () => {
  it('differs by each of its fields alone', () => {
    const fixed = fixedEnvironment();
    const others: Partial<Environment>[] = [
      { realtimeNs: () => 1n },
      { monotonicNs: () => 1n },
      { bootId: () => able(new Uint8Array(16).fill(1)) },
      { bootId: () => unable('none') },
      { vmGeneration: () => able(Uint8Array.of(1)) },
      { cycleCounter: () => able(1n) },
      { cycleCounter: () => unable('none') },
      { osRandom: (lengthBytes) => new Uint8Array(lengthBytes) },
      {
        osRandom: () => {
          throw new Error('broken');
        },
      },
    ];
    const all = [
      hedgeInput(fixed, 1n),
      hedgeInput(fixed, 2n),
      ...others.map((other) => hedgeInput({ ...fixed, ...other }, 1n)),
    ].map(hex);
    expect(new Set(all).size).toBe(all.length);
    expect(hex(hedgeInput(fixedEnvironment(), 1n))).toBe(all[0]);
  });
});

describe('what goes into OpenSSL', () => {
  it('is the first output of HMAC_DRBG, instantiated from HMAC(key, x)', () => {
    const x = Buffer.from('x');
    const material = createHmac('sha512', SEED).update(x).digest();
    const drbg = HmacDrbg.instantiate({
      hash: 'sha512',
      entropy: material.subarray(0, 48),
      nonce: material.subarray(48, 64),
      personalization: Buffer.from('lamplighter/openssl/v1'),
    });
    expect(hex(hedgeOutput(SEED, x))).toBe(hex(drbg.generate(64)));
  });
});

describe.skipIf(!systemNative.available().supported)('the hedge', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-hedge-'));
  });
  afterEach(() => fs.rm(folder, { recursive: true }));

  /** One process that starts from this seed, on a machine on which nothing else moves. */
  async function start(seed: Uint8Array, environment: Environment = fixedEnvironment()) {
    const notes: { call: string; bytes: string }[] = [];
    const native = notingNative(notes);
    const store = new SeedStore(folder, { environment, native });
    await store.create(seed, { replace: true });
    const hedge = await hedgeTls(store, { environment, native });
    return { hedge, notes, store, native };
  }

  it('is the same for the same seed and x, another for each', async () => {
    const given = async (...start_: Parameters<typeof start>) => (await start(...start_)).notes;
    const first = await given(SEED);
    expect(first.map(({ call }) => call)).toEqual(['reseedOpenssl']);
    expect(await given(SEED)).toEqual(first);
    expect(await given(SEED.map((byte) => byte + 1))).not.toEqual(first);
    const later = { ...fixedEnvironment(), cycleCounter: () => able(9n) };
    expect(await given(SEED, later)).not.toEqual(first);
  });

  it('uses the next seed every time', async () => {
    const { hedge, notes, store, native } = await start(SEED);
    expect(hedge).toMatchObject({ state: 'on', counter: 1n });
    const again = await hedgeTls(store, { environment: fixedEnvironment(), native });
    expect(again).toMatchObject({ state: 'on', counter: 2n });
    expect(new Set(notes.map(({ bytes }) => bytes)).size).toBe(2);
    expect(hex(again.mixKey ?? SEED)).not.toBe(hex(hedge.mixKey ?? SEED));
  });

  it('is off without the addon, but the seed still keys the final mix', async () => {
    const { store } = await start(SEED);
    const off = {
      available: () => unable('not built'),
      reseedOpenssl: () => unable('not built'),
    };
    const hedge = await hedgeTls(store, { environment: fixedEnvironment(), native: off });
    expect(hedge).toMatchObject({ state: 'off', reason: { code: 'ERR_HEDGE_OFF' } });
    expect(hedge.mixKey).toHaveLength(64);
  });

  it('is off without a seed, and degraded with one that others may know', async () => {
    const { store, native } = await start(SEED);
    const environment = fixedEnvironment();
    await fs.chmod(store.path, 0o644);
    expect(await hedgeTls(store, { environment, native })).toMatchObject({
      state: 'degraded',
      reason: { code: 'ERR_SEED_MODE' },
    });
    await fs.rm(store.path);
    expect(await hedgeTls(store, { environment, native })).toMatchObject({
      state: 'off',
      reason: { code: 'ERR_SEED_MISSING' },
    });
  });
});
