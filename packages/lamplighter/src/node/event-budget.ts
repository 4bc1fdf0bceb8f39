import { createHash, type Hash } from 'node:crypto';
import { type Environment, monotonicMs } from '../local/environment.js';
import type { SourceSink } from '../sources/source.js';

/** One event a slot: 100 a second. A constant of the implementation, not of any protocol. */
export const EVENT_SLOT_MS = 10;

/**
 * Holds one source to its budget of events, so that none can flood the pools, and loses nothing: the first bytes in a
 * slot are an event at once; what follows in the same slot goes into a running SHA-256 that is the next slot's event.
 *
 * Source: DESIGN section 2, promise 5.
 * @param emit - takes each event; it is copied or hashed before `emit` returns
 */
export function eventBudget(
  environment: Pick<Environment, 'monotonicNs' | 'timers'>,
  emit: (event: Uint8Array) => void,
): SourceSink & { close(): void } {
  let openAtMs = Number.NEGATIVE_INFINITY;
  let gathered: Hash | undefined;
  let flushing: { cancel(): void } | undefined;
  const nowMs = (): number => monotonicMs(environment);

  function speak(event: Uint8Array): void {
    openAtMs = nowMs() + EVENT_SLOT_MS;
    emit(event);
  }

  function flush(): void {
    flushing?.cancel();
    flushing = undefined;
    if (gathered === undefined) return;
    const digest = gathered.digest();
    gathered = undefined;
    speak(digest);
    digest.fill(0);
  }

  return {
    hear(bytes) {
      if (gathered === undefined && nowMs() >= openAtMs) {
        speak(bytes);
        return;
      }
      gathered ??= createHash('sha256');
      // The length keeps two ways of cutting the same bytes apart.
      const length = new Uint8Array(8);
      new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length));
      gathered.update(length).update(bytes);
      flushing ??= environment.timers.after(Math.max(0, openAtMs - nowMs()), flush);
    },
    close: flush,
  };
}
