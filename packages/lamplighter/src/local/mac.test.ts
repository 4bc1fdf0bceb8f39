import { HASH_LENGTH_BYTES, hmac } from '@lamplighter/core';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';

const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength });

afterEach(() => {
  vi.unstubAllEnvs();
  vi.resetModules();
});

describe.each([
  ['as it is', undefined],
  ['without the addon', 'off'],
])('mac, %s', (_what, native) => {
  it('is HMAC as core makes it', async () => {
    if (native !== undefined) vi.stubEnv('LAMPLIGHTER_NATIVE', native);
    vi.resetModules();
    const { macInto } = await import('./mac.js');
    const memory = { sha256: new Uint8Array(32), sha512: new Uint8Array(64) };
    const hash = fc.constantFrom('sha256' as const, 'sha512' as const);
    fc.assert(
      fc.property(hash, bytes(1, 64), bytes(1, 400), (name, key, text) => {
        macInto(name, key, text, memory[name]);
        expect(Buffer.compare(memory[name], hmac(name, key, text))).toBe(0);
        expect(() => macInto(name, key, text, new Uint8Array(HASH_LENGTH_BYTES[name] - 1))).toThrow(
          RangeError,
        );
      }),
    );
  });
});
