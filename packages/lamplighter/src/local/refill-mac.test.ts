import { encode, hmac } from '@lamplighter/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CPU_BYTES, RefillMac, ROOT_BYTES } from './refill-mac.js';

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

function bytesOf(value: bigint): Uint8Array {
  const field = new Uint8Array(8);
  new DataView(field.buffer).setBigUint64(0, value);
  return field;
}

const present = (
  isPresent: boolean,
  value: fc.Arbitrary<Uint8Array>,
): fc.Arbitrary<Uint8Array | undefined> => (isPresent ? value : fc.constant(undefined));

describe('refill mac', () => {
  // In one memory, one after the other: nothing of a shape may be left in the next.
  const mac = new RefillMac();
  const shapes = [0, 1, 2, 3, 4, 5, 6, 7, 0, 7].map(
    (bits) => [bits % 2 > 0, bits % 4 > 1, bits > 3] as const,
  );

  it.each(shapes)('is HMAC-SHA-256 over E with cycles: %s, root: %s, cpu: %s', (cycles, root, cpu) => {
    const input = fc.record({
      monotonicNs: u64,
      count: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      cycles: cycles ? u64 : fc.constant(undefined),
      root: present(root, bytes(ROOT_BYTES)),
      cpu: present(cpu, bytes(CPU_BYTES)),
    });
    fc.assert(
      fc.property(bytes(32), input, (key, given) => {
        const encoded = encode('stream', [
          { label: 'monotonic', bytes: bytesOf(given.monotonicNs) },
          { label: 'counter', bytes: bytesOf(BigInt(given.count)) },
          { label: 'cycles', bytes: given.cycles === undefined ? undefined : bytesOf(given.cycles) },
          { label: 'root', bytes: given.root },
          { label: 'cpu', bytes: given.cpu },
        ]);
        const keyBefore = Uint8Array.from(key);
        const digest = mac.digest(key, given);
        expect(Buffer.from(digest)).toEqual(Buffer.from(hmac('sha256', key, encoded)));
        expect(key).toEqual(keyBefore);
      }),
    );
  });
});
