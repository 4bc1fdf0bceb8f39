import type { Environment } from '../local/environment.js';
import { NO_BASIS } from '../wire/basis.js';
import type { SourceReport } from '../wire/status.js';
import type { Source, SourceSink } from './source.js';

/** Low-order bytes gathered before they are heard as one event. */
const EVENT_LENGTH_BYTES = 16;
/** Event-loop turns watched for one answer. Claimed: at most one bit a turn, so 64 bits an answer. */
const SAMPLE_TURNS = 64;

/**
 * Timing of this process: when event-loop turns end and when packets arrive, low-order byte of the monotonic clock.
 *
 * Packet arrivals are whatever the rest of the node passes to `Environment.arrivals`; turns are watched by a timer
 * whose lateness is the noise. Nobody outside sees these moments to the nanosecond; how often they come he may drive,
 * which is why a source's events count for itself alone (DESIGN 6.3).
 */
export function timingSource(
  options: { name?: string; periodMs?: number },
  environment: Environment,
): Source {
  const { name = 'timing', periodMs = 50 } = options;
  const gathered = new Uint8Array(EVENT_LENGTH_BYTES);
  let length = 0;
  let moments = 0;
  let state: SourceReport['state'] = 'starting';
  let release: (() => void) | undefined;

  /** The clock ticks in nanoseconds; on machines where it is coarser the low bits stand still and only dilute. */
  const lowByte = (): number => Number(environment.monotonicNs() & 0xffn);

  function note(sink: SourceSink): void {
    gathered[length] = lowByte();
    length += 1;
    moments += 1;
    if (length < EVENT_LENGTH_BYTES) return;
    length = 0;
    state = 'ok';
    sink.hear(gathered);
    gathered.fill(0);
  }

  function stop(): Promise<void> {
    release?.();
    release = undefined;
    gathered.fill(0);
    state = 'stopped';
    return Promise.resolve();
  }

  return {
    name,
    kind: 'timing',
    position: 'local',
    start(sink, signal) {
      const timer = environment.timers.every(periodMs, () => note(sink));
      const arrivals = environment.arrivals.subscribe(() => note(sink));
      release = () => {
        timer.cancel();
        arrivals.cancel();
      };
      signal.addEventListener('abort', () => void stop(), { once: true });
      return Promise.resolve();
    },
    async sample(signal) {
      const bytes = new Uint8Array(SAMPLE_TURNS);
      for (let turn = 0; turn < SAMPLE_TURNS; turn += 1) {
        if (signal.aborted || state === 'stopped') return undefined;
        await environment.timers.turn();
        bytes[turn] = lowByte();
      }
      return bytes;
    },
    status: () => ({ state, basis: NO_BASIS, details: { moments } }),
    stop,
  };
}
