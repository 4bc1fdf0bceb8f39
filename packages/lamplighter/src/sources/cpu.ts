import type { Environment } from '../local/environment.js';
import { type Drawn, drawnSource } from './drawn-source.js';
import type { Source } from './source.js';

/** Asked for at a time: the CPU is never busy with us for more than some 2 ms. */
const PIECE_LENGTH_BYTES = 16;
const PIECES_PER_SAMPLE = 2;

/**
 * The CPU's own generator: RDSEED; where that is missing or has run dry, RDRAND in a form that forces a reseed in between
 * (arm64: RNDRRS, RNDR). Every word is checked for being stuck, by the native addon.
 *
 * A CPU without one is no fault: the state is `absent`, with the reason, and nothing alarms. One that has it and gives nothing,
 * or gives what is stuck, is `failed`: nothing is put in its place. Both are asked again at every period.
 *
 * Claims no basis: the noise behind these instructions cannot be seen, only its conditioned output. Cost of 16 bytes: 1 µs
 * to 1 ms by RDSEED (45 µs on a busy Zen 5), 0.1 ms by RDRAND; on CPUs whose microcode makes RDRAND wait (SRBDS), some ms
 * @param options - `periodMs`: time between events, 10,000 unless told
 */
export function cpuSource(options: { name?: string; periodMs?: number }, environment: Environment): Source {
  const { name = 'cpu', periodMs = 10_000 } = options;
  return drawnSource(
    { name, kind: 'cpu', periodMs, drawsPerSample: PIECES_PER_SAMPLE, draw: () => drawFromCpu(environment) },
    environment,
  );
}

function drawFromCpu(environment: Environment): Drawn {
  const drawn = environment.cpuRandom(PIECE_LENGTH_BYTES, 'seed');
  if (drawn.supported) return { bytes: drawn.value, state: 'ok' };
  const message = drawn.reason;
  return isAbsence(message, environment)
    ? { state: 'absent', reason: { code: 'ERR_SOURCE_ABSENT', message } }
    : { state: 'failed', reason: { code: 'ERR_CPU_RNG', message } };
}

/** Only what is known to mean "not on this machine" is taken for it; every other answer is a fault. */
function isAbsence(reason: string, environment: Environment): boolean {
  if (reason.startsWith('this CPU has neither ')) return true;
  // Without the addon nothing in it answers, and for one reason.
  const cycles = environment.cycleCounter();
  return !cycles.supported && cycles.reason === reason;
}
