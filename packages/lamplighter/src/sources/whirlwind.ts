import type { Environment } from '../local/environment.js';
import { MOMENT_BYTES, whirlwind } from '../local/whirlwind.js';
import type { Reason } from '../wire/status.js';
import { type Drawn, drawnSource } from './drawn-source.js';
import type { Source } from './source.js';

const DEFAULT_PERIOD_MS = 600_000;
/** Of the moments in a burst so many must be later than the one before; on a clock that is fine enough all are. */
const LEAST_MOVED_SHARE = 0.5;

/**
 * A Whirlwind burst at start, in every round and every `periodMs`: 100 moments, each after a number of divisions that depends
 * on the one before (see {@link whirlwind} for its source). It costs nothing between bursts, needs no device and no
 * privilege, and parts two copies of one machine that have been given the same of everything else.
 *
 * On a clock so coarse that half the moments stand still the state is `degraded`; the burst is mixed all the same. Claimed: at
 * most 1 bit a moment, so 100 bits a burst. Measured on one machine: 5.9 bits a moment (SP 800-90B, non-IID); a burst takes
 * 0.23 ms, the first one, before the engine has compiled it, 0.35 ms.
 * @param options - `periodMs`: time between bursts, 600,000 unless told
 */
export function whirlwindSource(
  options: { name?: string; periodMs?: number },
  environment: Environment,
): Source {
  const { name = 'whirlwind', periodMs = DEFAULT_PERIOD_MS } = options;
  let movedShare = 0;

  function draw(): Drawn {
    const bytes = whirlwind(environment);
    movedShare = shareThatMoved(bytes);
    return movedShare < LEAST_MOVED_SHARE
      ? { bytes, state: 'degraded', reason: coarse(movedShare) }
      : { bytes, state: 'ok' };
  }

  return drawnSource(
    { name, kind: 'whirlwind', periodMs, draw, details: () => ({ movedShare }) },
    environment,
  );
}

function shareThatMoved(burst: Uint8Array): number {
  const view = new DataView(burst.buffer, burst.byteOffset, burst.byteLength);
  let moved = 0;
  for (let at = MOMENT_BYTES; at < burst.length; at += MOMENT_BYTES) {
    if (view.getBigUint64(at) !== view.getBigUint64(at - MOMENT_BYTES)) moved += 1;
  }
  return moved / (burst.length / MOMENT_BYTES - 1);
}

const coarse = (movedShare: number): Reason => ({
  code: 'ERR_CLOCK_COARSE',
  message: `the clock stood still between ${Math.round(100 * (1 - movedShare))} % of the moments of a burst`,
  hint: 'install the native addon: it reads the cycle counter',
});
