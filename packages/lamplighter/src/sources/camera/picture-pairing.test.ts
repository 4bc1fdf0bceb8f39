import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FrameReport } from './ffmpeg-report.js';
import { type DecodedPicture, PicturePairing } from './picture-pairing.js';

const LENGTH = 6;
const report = (n: number): FrameReport => ({ mediaMs: n * 40, widthPx: 4, heightPx: 3 });

describe('PicturePairing', () => {
  it('puts pictures and reports together in order, however they come', () => {
    const bytes = Uint8Array.from({ length: LENGTH * 20 }, (_, at) => Math.floor(at / LENGTH));
    const steps = fc.array(fc.oneof(fc.constant(-1), fc.integer({ min: 1, max: 30 })), { maxLength: 80 });
    fc.assert(
      fc.property(steps, (turns) => {
        const paired: DecodedPicture[] = [];
        const pairing = new PicturePairing(LENGTH, (picture) => {
          paired.push({ ...picture, luma: Uint8Array.from(picture.luma) });
        });
        let offset = 0;
        let reports = 0;
        for (const turn of turns) {
          if (turn === -1) {
            pairing.pushReport(report(reports++));
          } else {
            pairing.pushPixels(bytes.subarray(offset, offset + turn));
            offset = Math.min(bytes.length, offset + turn);
          }
          expect(paired.length).toBe(Math.min(reports, Math.floor(offset / LENGTH)));
        }
        paired.forEach(({ luma, mediaMs }, n) => {
          expect([...luma]).toEqual(Array.from({ length: LENGTH }, () => n));
          expect(mediaMs).toBe(n * 40);
        });
      }),
    );
  });

  it('leaves out a picture whose report was lost', () => {
    const paired: (number | undefined)[] = [];
    const pairing = new PicturePairing(1, ({ luma }) => paired.push(luma[0]));
    for (const one of [report(0), undefined, report(2)]) pairing.pushReport(one);
    pairing.pushPixels(Uint8Array.of(10, 11, 12));
    expect(paired).toEqual([10, 12]);
  });

  it('refuses to wait for ever, on either side', () => {
    const refusal: unknown = expect.objectContaining({ code: 'ERR_CHILD_EXITED' });
    expect(() => new PicturePairing(1, () => undefined).pushPixels(new Uint8Array(10_000))).toThrow(refusal);
    const pairing = new PicturePairing(1, () => undefined);
    expect(() => {
      for (let n = 0; n < 10_000; n++) pairing.pushReport(report(n));
    }).toThrow(refusal);
  });
});
