import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { reasonOf } from '../wire/reason.js';
import { type Drawn, drawnSource } from './drawn-source.js';
import type { Source } from './source.js';

/** What one answer takes from each of the two generators below. */
const SAMPLE_LENGTH_BYTES = 32;

/**
 * The operating system's RNG, and beside it this process's own OpenSSL generator: 32 + 32 bytes an answer, both fresh.
 *
 * Asked last in every round, so nobody outside can choose his input knowing these bytes. While it runs it also speaks
 * every `periodMs`, so that a long-lived node follows the kernel's reseeds. The hardware behind the kernel's RNG has sources
 * of its own, `hwrng` and `tpm`: each can fail by itself. Cost: some 6 µs an answer.
 * @param options - `periodMs`: time between events, 1,000 unless told
 */
export function osSource(options: { name?: string; periodMs?: number }, environment: Environment): Source {
  const { name = 'os', periodMs = 1_000 } = options;
  return drawnSource({ name, kind: 'os', periodMs, draw: () => drawFromOs(environment) }, environment);
}

function drawFromOs(environment: Environment): Drawn {
  const bytes = new Uint8Array(2 * SAMPLE_LENGTH_BYTES);
  try {
    bytes.set(environment.osRandom(SAMPLE_LENGTH_BYTES), 0);
    bytes.set(environment.runtimeRandom(SAMPLE_LENGTH_BYTES), SAMPLE_LENGTH_BYTES);
    return { bytes, state: 'ok' };
  } catch (error) {
    bytes.fill(0);
    const failure =
      error instanceof LamplighterError
        ? error
        : new LamplighterError('ERR_OS_RNG', 'the OS RNG failed', { cause: error });
    return { state: 'failed', reason: reasonOf(failure) };
  }
}
