import { LamplighterError } from '@lamplighter/core';
import type { FrameReport } from './ffmpeg-report.js';

/** One decoded frame: single pixels of it on a grid, and what it was made from. */
export interface DecodedPicture extends FrameReport {
  /** Valid during the call only; 0 black to 255 white, row by row. */
  readonly luma: Uint8Array;
}

/** Pictures that may wait for their line, or lines for their picture: what the pipes hold, and a good deal more. */
const MAX_WAITING = 512;
/** Buffers kept for pictures to come. */
const MAX_SPARE = 4;

/**
 * Puts together what comes out of two pipes: an endless row of pictures, and in the same order a report of each. Memory: at
 * most 512 pictures wait for their reports, or the other way round; as a rule one, in a buffer that is used again.
 */
export class PicturePairing {
  readonly #lengthBytes: number;
  readonly #onPicture: (picture: DecodedPicture) => void;
  readonly #pictures: Uint8Array[] = [];
  readonly #reports: (FrameReport | undefined)[] = [];
  readonly #spare: Uint8Array[] = [];
  #luma: Uint8Array;
  #filled = 0;

  /** @param lengthBytes - of one picture; @param onPicture - gets each, in order */
  constructor(lengthBytes: number, onPicture: (picture: DecodedPicture) => void) {
    this.#lengthBytes = lengthBytes;
    this.#onPicture = onPicture;
    this.#luma = new Uint8Array(lengthBytes);
  }

  /**
   * Takes the next bytes of pictures.
   * @throws LamplighterError ERR_CHILD_EXITED when no reports come to them
   */
  pushPixels(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length;) {
      const piece = chunk.subarray(offset, offset + this.#lengthBytes - this.#filled);
      this.#luma.set(piece, this.#filled);
      this.#filled += piece.length;
      offset += piece.length;
      if (this.#filled === this.#lengthBytes) {
        this.#pictures.push(this.#luma);
        this.#luma = this.#spare.pop() ?? new Uint8Array(this.#lengthBytes);
        this.#filled = 0;
      }
    }
    this.#pair();
  }

  /**
   * Takes the next report; undefined for one that was lost: its picture is left out.
   * @throws LamplighterError ERR_CHILD_EXITED when no pictures come to them
   */
  pushReport(report: FrameReport | undefined): void {
    this.#reports.push(report);
    this.#pair();
  }

  /** Overwrites what still waits. */
  wipe(): void {
    for (const luma of this.#pictures.splice(0)) luma.fill(0);
    this.#luma.fill(0);
    this.#reports.length = 0;
  }

  #pair(): void {
    while (this.#pictures.length > 0 && this.#reports.length > 0) {
      const luma = this.#pictures.shift();
      const report = this.#reports.shift();
      if (luma === undefined) continue;
      if (report !== undefined) this.#onPicture({ ...report, luma });
      luma.fill(0);
      if (this.#spare.length < MAX_SPARE) this.#spare.push(luma);
    }
    if (Math.max(this.#pictures.length, this.#reports.length) > MAX_WAITING) {
      throw new LamplighterError('ERR_CHILD_EXITED', 'ffmpeg says nothing of the pictures it sends');
    }
  }
}
