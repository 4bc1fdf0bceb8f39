import { wipe } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { NO_BASIS } from '../wire/basis.js';
import type { Reason, SourceReport, SourceState } from '../wire/status.js';
import type { Source, SourceSink } from './source.js';

/** What one draw gave, and what it says of the source. Bytes may come with any state: a bad source is mixed all the same. */
export interface Drawn {
  /** Fresh and not kept anywhere else. */
  readonly bytes?: Uint8Array;
  readonly state: Exclude<SourceState, 'starting' | 'stopped'>;
  readonly reason?: Reason;
}

/** What a drawn source is made of. */
export interface DrawnSourceOptions {
  readonly name: string;
  readonly kind: string;
  /** Mean time between events, ms. */
  readonly periodMs: number;
  /** Takes fresh bytes at once, in at most 2 ms. Never throws. */
  readonly draw: () => Drawn;
  /** Draws in one answer to a round, a turn of the event loop between them; 1 unless told. */
  readonly drawsPerSample?: number;
  readonly details?: () => SourceReport['details'];
}

/**
 * A source that has its bytes at hand: drawn at start, every `periodMs` while it runs, and for every round that asks.
 *
 * `status()` says how the last draw went, whoever asked for it.
 */
export function drawnSource(options: DrawnSourceOptions, environment: Environment): Source {
  const { name, kind, periodMs, drawsPerSample = 1 } = options;
  let state: SourceState = 'starting';
  let reason: Reason | undefined;
  let timer: { cancel(): void } | undefined;
  const stopping = new AbortController();

  function draw(): Uint8Array | undefined {
    const drawn = options.draw();
    ({ state, reason } = drawn);
    return drawn.bytes;
  }

  function speak(sink: SourceSink): void {
    const bytes = draw();
    if (bytes === undefined) return;
    sink.hear(bytes);
    bytes.fill(0);
  }

  function stop(): Promise<void> {
    stopping.abort();
    timer?.cancel();
    timer = undefined;
    state = 'stopped';
    reason = undefined;
    return Promise.resolve();
  }

  return {
    name,
    kind,
    position: 'local',
    start(sink, signal) {
      if (signal.aborted || stopping.signal.aborted) return stop();
      speak(sink);
      timer = environment.timers.every(periodMs, () => speak(sink));
      signal.addEventListener('abort', () => void stop(), { once: true, signal: stopping.signal });
      return Promise.resolve();
    },
    async sample(signal) {
      const pieces: Uint8Array[] = [];
      for (let piece = 0; piece < drawsPerSample; piece += 1) {
        if (piece > 0) await environment.timers.turn();
        const bytes = signal.aborted || stopping.signal.aborted ? undefined : draw();
        if (bytes === undefined) {
          wipe(...pieces);
          return undefined;
        }
        pieces.push(bytes);
      }
      return joined(pieces);
    },
    status: () => ({
      state,
      ...(reason && { reason }),
      basis: NO_BASIS,
      details: { periodMs, ...options.details?.() },
    }),
    stop,
  };
}

/** One array of its own; the pieces are wiped. */
function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((total, piece) => total + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  wipe(...pieces);
  return bytes;
}
