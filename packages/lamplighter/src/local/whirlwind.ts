import type { Environment } from './environment.js';

const LOOPS = 100;

/** A burst is a row of moments of so many bytes, big-endian, in the order in which they were taken. */
export const MOMENT_BYTES = 8;

/**
 * A burst of CPU timing: 100 moments, each after a number of divisions that depends on the one before it.
 *
 * Source: Everspaugh et al., "Not-So-Random Numbers in Virtualized Linux and the Whirlwind RNG" (IEEE S&P 2014): at first
 * use and at resume, each of 100 loops takes the cycle counter CC, adds it, then does CC mod 1024 divisions. Deviation:
 * the monotonic clock stands in where there is no cycle counter. Claimed: at most 1 bit a moment; measured on one machine
 * 5.9 (SP 800-90B, non-IID). Takes 0.1 to 0.7 ms.
 * @returns 800 bytes, secret
 */
export function whirlwind(environment: Pick<Environment, 'cycleCounter' | 'monotonicNs'>): Uint8Array {
  const burst = new Uint8Array(LOOPS * MOMENT_BYTES);
  const view = new DataView(burst.buffer);
  for (let loop = 0; loop < LOOPS; loop++) {
    const cycles = environment.cycleCounter();
    const moment = cycles.supported ? cycles.value : environment.monotonicNs();
    view.setBigUint64(loop * MOMENT_BYTES, moment);
    const quotient = divide(view.getUint32(loop * MOMENT_BYTES + 4) % 1024);
    // Keeps the engine from leaving the divisions out. Never true.
    if (quotient === 0) view.setUint8(0, 0);
  }
  return burst;
}

function divide(times: number): number {
  let quotient = 4_294_967_291;
  for (let done = 0; done < times; done++) quotient = quotient / 1.000_000_3 + done;
  return quotient;
}
