import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { NO_BASIS } from '../wire/basis.js';
import type { Reason, SourceReport } from '../wire/status.js';
import { reasonOf } from '../wire/reason.js';
import type { Source, SourceSink } from './source.js';

/** What one answer takes from each of the two generators below. */
const SAMPLE_LENGTH_BYTES = 32;

/**
 * The operating system's RNG, and beside it this process's own OpenSSL generator: 32 + 32 bytes an answer, both fresh.
 *
 * Asked last in every round, so nobody outside can choose his input knowing these bytes. While it runs it also speaks
 * every `periodMs`, so that a long-lived node follows the kernel's reseeds.
 */
export function osSource(options: { name?: string; periodMs?: number }, environment: Environment): Source {
  const { name = 'os', periodMs = 1_000 } = options;
  let state: SourceReport['state'] = 'starting';
  let reason: Reason | undefined;
  let timer: { cancel(): void } | undefined;

  function draw(): Uint8Array | undefined {
    try {
      const bytes = new Uint8Array(2 * SAMPLE_LENGTH_BYTES);
      bytes.set(environment.osRandom(SAMPLE_LENGTH_BYTES), 0);
      bytes.set(environment.runtimeRandom(SAMPLE_LENGTH_BYTES), SAMPLE_LENGTH_BYTES);
      state = 'ok';
      reason = undefined;
      return bytes;
    } catch (error) {
      state = 'failed';
      reason = reasonOf(
        error instanceof LamplighterError
          ? error
          : new LamplighterError('ERR_OS_RNG', 'the OS RNG failed', { cause: error }),
      );
      return undefined;
    }
  }

  function speak(sink: SourceSink): void {
    const bytes = draw();
    if (bytes === undefined) return;
    sink.hear(bytes);
    bytes.fill(0);
  }

  function stop(): Promise<void> {
    timer?.cancel();
    timer = undefined;
    state = 'stopped';
    return Promise.resolve();
  }

  return {
    name,
    kind: 'os',
    position: 'local',
    start(sink, signal) {
      speak(sink);
      timer = environment.timers.every(periodMs, () => speak(sink));
      signal.addEventListener('abort', () => void stop(), { once: true });
      return Promise.resolve();
    },
    sample: (signal) => Promise.resolve(signal.aborted || state === 'stopped' ? undefined : draw()),
    status: () => ({ state, ...(reason && { reason }), basis: NO_BASIS, details: { periodMs } }),
    stop,
  };
}
