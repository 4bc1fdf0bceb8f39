import { hmac } from '@lamplighter/core';
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
    const { mac } = await import('./mac.js');
    const hash = fc.constantFrom('sha256' as const, 'sha512' as const);
    fc.assert(
      fc.property(hash, bytes(1, 64), bytes(1, 400), (name, key, text) => {
        const made = mac(name, key, text);
        expect(made.constructor).toBe(Uint8Array);
        expect(Buffer.compare(made, hmac(name, key, text))).toBe(0);
      }),
    );
  });
});
