import type { UUID } from 'node:crypto';

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/**
 * A version 4 UUID: RFC 9562, 5.4.
 * @param random - 16 bytes from `at` on; the six bits that say version and variant are replaced
 */
export function uuidFrom(random: Uint8Array, at: number): UUID {
  const version = HEX[((random[at + 6] ?? 0) & 0x0f) | 0x40] ?? '';
  const variant = HEX[((random[at + 8] ?? 0) & 0x3f) | 0x80] ?? '';
  const low = hex(random, at) + hex(random, at + 1) + hex(random, at + 2) + hex(random, at + 3);
  const middle = hex(random, at + 4) + hex(random, at + 5);
  const node = hex(random, at + 10) + hex(random, at + 11) + hex(random, at + 12);
  const rest = hex(random, at + 13) + hex(random, at + 14) + hex(random, at + 15);
  return `${low}-${middle}-${version}${hex(random, at + 7)}-${variant}${hex(random, at + 9)}-${node}${rest}`;
}

const hex = (random: Uint8Array, at: number): string => HEX[random[at] ?? 0] ?? '';
