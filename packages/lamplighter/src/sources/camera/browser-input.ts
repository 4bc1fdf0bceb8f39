import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { type FrameSender, MAX_BROWSER_FRAME_BYTES } from '../../wire/camera-door.js';
import type { Decoder } from './decoder.js';
import type { CameraInput, CameraListener } from './input.js';

/** A camera whose pictures are handed in one by one. */
export interface BrowserInput extends CameraInput {
  readonly kind: 'browser';
  /**
   * Hears one picture.
   * @param jpeg - valid during the call only: it is wiped by whoever called
   * @throws LamplighterError as {@link CameraDoor.frame}; nothing is heard then
   */
  frame(jpeg: Uint8Array, sender: FrameSender): void;
}

/** Video without one decodable picture for so long is not decodable. */
const PICTURE_WITHIN_MS = 3_500;
/** Once it was said that nobody films, it need not be said again, ms: 11 days. */
const UNTIL_SOMEBODY_FILMS_MS = 1e9;
const MOST_PICTURES_PER_SECOND = 15;
const MOST_BYTES_PER_MS = (8 * 1024 * 1024) / 1_000;
/** Pictures that a network held up come all at once. */
const TOLERANCE_MS = 500;
const BUSY_RETRY_MS = 3_000;
const BETWEEN_ATTEMPTS_RETRY_MS = 1_000;
const HINT =
  'open /camera on the dashboard of this node, in the browser whose camera shall film, and leave that page open';

/**
 * The camera of a phone or laptop: a page of the dashboard asks for it and posts its pictures, one JPEG each. Who may post is decided
 * where the request comes in.
 *
 * One page films at a time: pictures of two, mixed, would look as if every pixel of them were noisy. It gives the camera up by being
 * silent for a stall. A page that is closed, hidden or logged out is a stall like any other.
 * @param options - `stallMs`: how long a page may be silent; `decoder`: gets a copy of some pictures, for health
 */
export function browserInput(
  options: { readonly stallMs: number; readonly decoder: Decoder },
  environment: Environment,
): BrowserInput {
  const { stallMs, decoder } = options;
  let current: { readonly listener: CameraListener; readonly signal: AbortSignal } | undefined;
  let page: { readonly name: string; readonly heardMs: number } | undefined;
  let startMs = 0;
  /** When the pictures so far have taken their time (the generic cell rate algorithm, ITU-T I.371). */
  let dueMs = -Infinity;

  function pace(lengthBytes: number, nowMs: number): void {
    const earlyMs = dueMs - nowMs;
    if (earlyMs > TOLERANCE_MS) {
      throw new LamplighterError('ERR_QUOTA', 'pictures come too fast', {
        hint: `send at most ${MOST_PICTURES_PER_SECOND} a second`,
        retryAfterMs: earlyMs - TOLERANCE_MS,
      });
    }
    dueMs =
      Math.max(dueMs, nowMs) + Math.max(1_000 / MOST_PICTURES_PER_SECOND, lengthBytes / MOST_BYTES_PER_MS);
  }

  return {
    kind: 'browser',
    get startMs() {
      return startMs;
    },
    pictureWithinMs: () => PICTURE_WITHIN_MS,
    // Nobody is bothered by the next attempt: it waits to be called.
    longestBackOffMs: 100,
    details: () => ({ codec: 'mjpeg', sandbox: decoder.sandbox }),

    attempt(listener, signal) {
      return new Promise((_resolve, reject) => {
        const pageBefore = page;
        const end = () => {
          current = undefined;
          startMs = UNTIL_SOMEBODY_FILMS_MS;
          reject(stalled(page !== pageBefore));
        };
        if (signal.aborted) return end();
        current = { listener, signal };
        signal.addEventListener('abort', end, { once: true });
      });
    },

    frame(jpeg, sender) {
      checkJpeg(jpeg);
      if (current === undefined) {
        throw new LamplighterError('ERR_OVERLOADED', 'this camera is just being started', {
          retryAfterMs: BETWEEN_ATTEMPTS_RETRY_MS,
        });
      }
      const nowMs = Number(environment.monotonicNs() / 1_000_000n);
      if (page !== undefined && page.name !== sender.page && nowMs - page.heardMs < stallMs) {
        throw new LamplighterError('ERR_OVERLOADED', 'another page films for this camera', {
          hint: 'stop filming there, or configure a second camera',
          retryAfterMs: BUSY_RETRY_MS,
        });
      }
      pace(jpeg.length, nowMs);
      page = { name: sender.page, heardMs: nowMs };
      environment.arrivals.note();
      const { listener, signal } = current;
      if (sender.simulated) listener.simulated();
      listener.heard(jpeg);
      listener.frames(1);
      decoder.offer(jpeg, (picture) => {
        if (!signal.aborted) listener.picture(picture);
      });
    },
  };
}

function stalled(didFilm: boolean): LamplighterError {
  const message = didFilm
    ? 'the page that filmed sends nothing any more: it was closed or hidden, or its session ended'
    : 'no page films for this camera';
  return new LamplighterError('ERR_CAMERA_STALLED', message, { hint: HINT });
}

/** What every JPEG begins and ends with (ITU-T T.81, B.1.1.3); what is between is the decoder's affair. */
function checkJpeg(bytes: Uint8Array): void {
  const [first, second, third] = bytes;
  if (bytes.length > MAX_BROWSER_FRAME_BYTES) {
    throw new LamplighterError(
      'ERR_BODY_TOO_LARGE',
      `a picture has at most ${MAX_BROWSER_FRAME_BYTES} bytes`,
    );
  }
  const ends = bytes.at(-2) === 0xff && bytes.at(-1) === 0xd9;
  if (first !== 0xff || second !== 0xd8 || third !== 0xff || !ends) {
    throw new LamplighterError('ERR_BAD_REQUEST', 'this is not one whole JPEG');
  }
}
