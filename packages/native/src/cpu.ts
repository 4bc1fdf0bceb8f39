import { type Ability, able, unable } from './ability.js';
import { type Addon, addon, takeScratch } from './addon.js';

/** The scratch as one number; made once, since a view costs more than the counter. */
let cycles: BigUint64Array | undefined;

/**
 * The CPU's cycle counter: RDTSC; on arm64 the virtual counter, which ticks slower than the CPU.
 *
 * A separator and a source of jitter, never a secret. May go backwards when a VM is restored. About 30 ns.
 */
export function cycleCounter(): Ability<bigint> {
  const found = addon();
  if (!found.supported) return found;
  const why = found.value.readCycles();
  if (why !== undefined) return unable(why);
  cycles ??= new BigUint64Array(found.value.scratch.buffer, 0, 1);
  return able(cycles[0] ?? 0n);
}

/**
 * Bytes from RDSEED (arm64: RNDRRS): each word from fresh noise.
 *
 * Source: Intel, DRNG Software Implementation Guide. At most 500 tries a word; output that is stuck (a word of zeros, of
 * ones, or one that came before) is refused and named.
 * @param lengthBytes - 1..512
 * @returns a new array. Slow where the CPU is: 32 bytes took 1.7 µs on one machine and 94 µs on another
 * @throws RangeError, TypeError on another length
 */
export function rdseed(lengthBytes: number): Ability<Uint8Array> {
  return drawn(lengthBytes, (native) => native.rdseed(lengthBytes));
}

/**
 * Bytes from RDRAND (arm64: RNDR): the CPU's own generator, as it comes. Right for separators; for seeds see
 * {@link cpuRandom}. About 0.3 µs for 32 bytes. At most 10 tries a word; stuck output is refused as in {@link rdseed}.
 * @param lengthBytes - 1..512
 * @throws RangeError, TypeError on another length
 */
export function rdrand(lengthBytes: number): Ability<Uint8Array> {
  return drawn(lengthBytes, (native) => native.rdrand(lengthBytes));
}

/**
 * Seed-grade bytes from the CPU: RDSEED; where that is missing or has run dry, RDRAND with 512 samples of 128 bits folded
 * into every 16 bytes, so that the generator behind it was reseeded in between.
 *
 * Source: Intel, DRNG Software Implementation Guide, 4.2.6 (there folded by CBC-MAC, here by XOR: callers hash it).
 * A stuck RDSEED is not replaced but reported.
 * @param lengthBytes - 1..512
 * @returns a new array. 32 bytes: as {@link rdseed}, or 0.1 ms to some ms
 * @throws RangeError, TypeError on another length
 */
export function cpuRandom(lengthBytes: number): Ability<Uint8Array> {
  return drawn(lengthBytes, (native) => native.cpuRandom(lengthBytes));
}

function drawn(lengthBytes: number, draw: (native: Addon) => true | string): Ability<Uint8Array> {
  const found = addon();
  if (!found.supported) return found;
  const answer = draw(found.value);
  return answer === true ? able(takeScratch(found.value, lengthBytes)) : unable(answer);
}
