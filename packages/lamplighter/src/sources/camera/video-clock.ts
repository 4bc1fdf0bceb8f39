/** How often a recording is looked at, ms of its own time. */
const LOOK_EVERY_MS = 500;
/** A hole in a recording is looked into for so long; what lies behind it comes at once. */
const MAX_HOLE_MS = 120_000;
/** For a frame without a time: 25 frames a second. */
const USUAL_PERIOD_MS = 40;

/**
 * The time of a recording, from the timestamps of its frames: never set back, and no hole in it lasts for ever. Where a
 * recording's own time goes back (files put together, a counter that overflowed) it goes on from there.
 */
export class VideoClock {
  #lastMediaMs: number | undefined;
  #nowMs = 0;
  #lookedMs = 0;

  /** The time of the next frame, ms from the first one. @param mediaMs - its own, undefined when it has none */
  timeOf(mediaMs: number | undefined): number {
    const own = mediaMs ?? (this.#lastMediaMs ?? -USUAL_PERIOD_MS) + USUAL_PERIOD_MS;
    const step = own - (this.#lastMediaMs ?? own);
    this.#lastMediaMs = own;
    this.#nowMs += step >= 0 ? Math.min(step, MAX_HOLE_MS) : USUAL_PERIOD_MS;
    return this.#nowMs;
  }

  /** The moments before a frame at which it would have been looked at, had it come as it was recorded; ≤ 240. */
  momentsBefore(timeMs: number): number[] {
    const moments: number[] = [];
    while (timeMs - this.#lookedMs > LOOK_EVERY_MS) {
      this.#lookedMs += LOOK_EVERY_MS;
      moments.push(this.#lookedMs);
    }
    return moments;
  }

  /** Whether it is time to look again: at the first frame, and every half second. */
  isDue(timeMs: number): boolean {
    if (timeMs !== 0 && timeMs - this.#lookedMs < LOOK_EVERY_MS) return false;
    this.#lookedMs = timeMs;
    return true;
  }
}
