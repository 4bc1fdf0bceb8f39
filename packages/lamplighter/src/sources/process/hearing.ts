import type { Readable } from 'node:stream';
import type { Environment } from '../../local/environment.js';

/** Takes bytes, valid during the call only. @returns how long nothing more shall be read, ms, ≥ 0 */
export type Hear = (bytes: Uint8Array) => number;

/**
 * Hears a stream to its end, pausing when it is told to. What is not read waits in the pipe or socket, and in the end
 * at its writer; here it is never more than the stream's own high-water mark. Every chunk is wiped after it was heard.
 *
 * @param stream - not read by anybody else; destroyed when this settles
 * @param signal - ends it at once
 * @throws the stream's error; the signal's reason when that fired
 */
export function hearStream(
  stream: Readable,
  hear: Hear,
  signal: AbortSignal,
  environment: Pick<Environment, 'timers' | 'arrivals'>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let pause: { cancel(): void } | undefined;
    let fault: Error | undefined;
    const giveUp = (): void => void stream.destroy();
    stream.on('data', (chunk: Buffer) => {
      if (signal.aborted) return;
      environment.arrivals.note();
      const pauseMs = hear(chunk);
      chunk.fill(0);
      if (pauseMs === 0) return;
      stream.pause();
      // A child that exits makes Node resume its pipes: there may be a pause under way already.
      pause?.cancel();
      pause = environment.timers.after(pauseMs, () => void stream.resume());
    });
    stream.on('error', (error) => {
      fault = error;
    });
    stream.once('end', giveUp);
    stream.once('close', () => {
      pause?.cancel();
      signal.removeEventListener('abort', giveUp);
      if (signal.aborted) reject(asError(signal.reason));
      else if (fault === undefined) resolve();
      else reject(fault);
    });
    if (signal.aborted) giveUp();
    else signal.addEventListener('abort', giveUp, { once: true });
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
