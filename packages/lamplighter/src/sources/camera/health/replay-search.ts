import { FINGERPRINT_WORDS, Fingerprinter, popcount } from './fingerprint.js';
import { THRESHOLDS } from './thresholds.js';

/** Five minutes at 30 pictures a second. */
const MAX_FINGERPRINTS = 9_000;
/** A search costs 3 ms at most (measured, 9,000 fingerprints): five a second are 1.5 % of a core. */
const SEARCH_PERIOD_MS = 190;
/** One search says at most this: a key frame of a still background, coded as the last one was, is no replay. */
const MAX_Z = 10;

/**
 * Looks for the noise of now in the noise of the last five minutes.
 *
 * Two fingerprints of different moments agree by chance: z = (agreements - disagreements) / √(pixels changed in both) is N(0, 1)
 * (measured: SD 1.03, at most 5 in 10^5). Those of a replayed moment agree far beyond, also through a codec. For each lag, counted
 * in pictures, a running mean of z over the last searches is kept, so that weak agreement at one lag adds up and a lucky one does
 * not. Memory: 2.4 MB, fixed.
 */
export class ReplaySearch {
  readonly #fingerprinter = new Fingerprinter();
  readonly #changed = new Uint32Array(MAX_FINGERPRINTS * FINGERPRINT_WORDS);
  readonly #rose = new Uint32Array(MAX_FINGERPRINTS * FINGERPRINT_WORDS);
  readonly #times = new Float64Array(MAX_FINGERPRINTS);
  /** Running mean of z at each lag; the lag is the index. */
  readonly #meanZ = new Float32Array(MAX_FINGERPRINTS);
  #seen = 0;
  #nextSearchMs = -Infinity;
  #bestZ = 0;
  #bestLagMs = 0;

  /** @param timeMs - never backwards */
  see(luma: Uint8Array, timeMs: number): void {
    const slot = this.#seen % MAX_FINGERPRINTS;
    const from = slot * FINGERPRINT_WORDS;
    const changed = this.#changed.subarray(from, from + FINGERPRINT_WORDS);
    const rose = this.#rose.subarray(from, from + FINGERPRINT_WORDS);
    const pixels = this.#fingerprinter.take(luma, changed, rose);
    this.#times[slot] = timeMs;
    this.#seen += 1;
    // What has not changed cannot agree; frozen is another test's word.
    if (timeMs < this.#nextSearchMs || pixels < THRESHOLDS.replayMinPixels) return;
    this.#nextSearchMs = timeMs + SEARCH_PERIOD_MS;
    this.#search(changed, rose, timeMs);
  }

  /** How far the best running mean of z of any lag is above that of all lags; 0 while nothing was searched. */
  get bestZ(): number {
    return this.#bestZ;
  }

  /** The lag it is at, ms. */
  get bestLagMs(): number {
    return this.#bestLagMs;
  }

  #search(changed: Uint32Array, rose: Uint32Array, timeMs: number): void {
    const newest = this.#seen - 1;
    const lags = Math.min(newest, MAX_FINGERPRINTS - 1);
    let best = -Infinity;
    let sum = 0;
    let searched = 0;
    for (let lag = lags; lag >= 1; lag--) {
      const slot = (newest - lag) % MAX_FINGERPRINTS;
      const lagMs = timeMs - (this.#times[slot] ?? 0);
      if (lagMs < THRESHOLDS.replayMinLagMs) break;
      const z = Math.min(MAX_Z, this.#agreement(changed, rose, slot));
      const mean = (this.#meanZ[lag] ?? 0) + (z - (this.#meanZ[lag] ?? 0)) / THRESHOLDS.replayMemory;
      this.#meanZ[lag] = mean;
      sum += mean;
      searched += 1;
      if (mean <= best) continue;
      best = mean;
      this.#bestLagMs = lagMs;
    }
    if (searched === 0) return;
    // A codec at its limits makes all moments agree a little (measured: 0.7); a replay stands out.
    this.#bestZ = Math.max(0, best - Math.max(0, sum / searched));
  }

  #agreement(changed: Uint32Array, rose: Uint32Array, slot: number): number {
    const words = FINGERPRINT_WORDS;
    const count = popcount;
    const thenChanged = this.#changed;
    const thenRose = this.#rose;
    const from = slot * words;
    let both = 0;
    let apart = 0;
    for (let word = 0; word < words; word++) {
      const common = (changed[word] ?? 0) & (thenChanged[from + word] ?? 0);
      both += count(common);
      apart += count(((rose[word] ?? 0) ^ (thenRose[from + word] ?? 0)) & common);
    }
    return both < THRESHOLDS.replayMinPixels ? 0 : (both - 2 * apart) / Math.sqrt(both);
  }
}
