import { mix } from '@lamplighter/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BeaconMix } from './beacon-mix.js';

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });

describe('BeaconMix', () => {
  // In one memory, one after the other: nothing of a caller may be left in the next.
  const beaconMix = new BeaconMix();

  it('is mix over the parts of a beacon, for every length of a nonce', () => {
    const parts = fc.record({
      certificate: bytes(32),
      nonce: fc.uint8Array({ minLength: 0, maxLength: 64 }),
      start: bytes(32),
      stream: bytes(64),
    });
    fc.assert(
      fc.property(bytes(64), parts, (key, given) => {
        const before = structuredClone({ key, given });
        const expected = mix(key, 'beacon', [
          { label: 'certificate', bytes: given.certificate },
          { label: 'nonce', bytes: given.nonce },
          { label: 'start', bytes: given.start },
          { label: 'stream', bytes: given.stream },
        ]);
        expect(Buffer.compare(beaconMix.digest(key, given), expected)).toBe(0);
        expect({ key, given }).toEqual(before);
      }),
      { numRuns: 300 },
    );
  });

  it('refuses a part of another length', () => {
    const right = {
      certificate: new Uint8Array(32),
      nonce: new Uint8Array(32),
      start: new Uint8Array(32),
      stream: new Uint8Array(64),
    };
    expect(() => beaconMix.digest(new Uint8Array(63), right)).toThrow(RangeError);
    for (const part of ['certificate', 'start', 'stream'] as const) {
      const wrong = { ...right, [part]: new Uint8Array(right[part].length + 1) };
      expect(() => beaconMix.digest(new Uint8Array(64), wrong)).toThrow(RangeError);
    }
  });
});
