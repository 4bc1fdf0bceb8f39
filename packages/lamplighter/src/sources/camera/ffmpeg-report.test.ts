import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FfmpegReport, type FrameReport, type StreamReport } from './ffmpeg-report.js';

/** What ffmpeg 5.1 wrote of a stream whose size changed, with what stands around it. */
const SAID = `[info] Input #0, mpegts, from 'file:ab.ts':
[info]   Metadata:
[info]     title           : Stream #0:0: Video: evil, 1x1
[info]   Stream #0:0[0x100]: Video: h264 (Constrained Baseline) ([27][0][0][0] / 0x001B), yuv420p(progressive), 320x240 [SAR 1:1 DAR 4:3], 25 fps, 25 tbr, 90k tbn
[info] Output #1, rawvideo, to 'pipe:3':
[info]   Stream #1:0: Video: rawvideo (Y800 / 0x30303859), gray(pc, progressive), 160x120 [SAR 1:1 DAR 4:3], q=2-31, 3840 kb/s, 25 fps, 25 tbn
[Parsed_showinfo_1 @ 0x55a63065ed00] [info] config in time_base: 1/90000, frame_rate: 25/1
[Parsed_showinfo_1 @ 0x55a63065ed00] [info] n:   0 pts:      0 pts_time:0       pos:      564 fmt:yuv420p sar:1/1 s:320x240 i:P iskey:1 type:I${' '}
[Parsed_showinfo_1 @ 0x55a63065ed00] [info] User Data=${'78323634'.repeat(2000)}
[h264 @ 0x55a63061f200] [error] Reference 4 >= 4
[Parsed_showinfo_1 @ 0x55a63065ed00] [info] n:   1 pts:   3600 pts_time:0.04    pos:    53768 fmt:yuv420p sar:1/1 s:320x240 i:P iskey:0 type:P${' '}
[rawvideo @ 0x5559907fa5c0] [error] Application provided invalid, non monotonically increasing dts to muxer in stream 0: 1 >= 1
[Parsed_showinfo_1 @ 0x55a6306fa900] [info] n:   0 pts:  NOPTS pts_time:NOPTS   pos:  1429928 fmt:yuv420p sar:1/1 s:640x480 i:P iskey:1 type:I${' '}
[error] pipe:0: Input/output error
`;

function read(text: string | Buffer, cuts: readonly number[] = []) {
  const frames: (FrameReport | undefined)[] = [];
  const streams: StreamReport[] = [];
  const report = new FfmpegReport({
    onFrame: (frame) => frames.push(frame),
    onStream: (stream) => streams.push(stream),
  });
  const bytes = Buffer.from(text);
  let offset = 0;
  for (const length of [...cuts, bytes.length]) {
    report.push(bytes.subarray(offset, offset + length));
    offset += length;
  }
  return { frames, streams, complaint: report.complaint() };
}

const frame = (n: number, filter = '0x1') =>
  `[Parsed_showinfo_1 @ ${filter}] [info] n:${String(n).padStart(4)} pts:  ${n} pts_time:${n}  pos: 1 fmt:gray sar:1/1 s:4x3 i:P iskey:1 type:I \n`;

describe('FfmpegReport', () => {
  it('reads frames, the stream and complaints, and nothing that a stream says of itself', () => {
    const { frames, streams, complaint } = read(SAID);
    expect(frames).toEqual([
      { mediaMs: 0, widthPx: 320, heightPx: 240 },
      { mediaMs: 40, widthPx: 320, heightPx: 240 },
      { mediaMs: undefined, widthPx: 640, heightPx: 480 },
    ]);
    expect(streams).toEqual([{ codec: 'h264', widthPx: 320, heightPx: 240 }]);
    expect(complaint).toBe('Reference 4 >= 4; pipe:0: Input/output error');
  });

  it('reads the same however the bytes are cut', () => {
    const whole = read(SAID);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 40 }), (cuts) => {
        expect(read(SAID, cuts)).toEqual(whole);
      }),
    );
  });

  it('counts a line that another message cut off, and begins again with a new filter', () => {
    const cut = '[h264 @ 0x2] [error] half a messa' + frame(1);
    expect(read(frame(0) + cut + frame(2)).frames).toEqual([
      { mediaMs: 0, widthPx: 4, heightPx: 3 },
      undefined,
      { mediaMs: 2000, widthPx: 4, heightPx: 3 },
    ]);
    expect(read(frame(0) + frame(1, '0x2')).frames.length).toBe(3);
    expect(read(frame(0) + frame(99_999_999)).frames.length).toBe(2);
  });

  it('keeps little, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 10_000 }), (bytes) => {
        const { complaint } = read(Buffer.from(bytes));
        expect(complaint.length).toBeLessThanOrEqual(410);
        expect(complaint).toMatch(/^[\x20-\x7e]*$/);
      }),
    );
    const report = new FfmpegReport({ onFrame: () => undefined, onStream: () => undefined });
    const before = process.memoryUsage().heapUsed;
    for (let chunk = 0; chunk < 500; chunk++) report.push(Buffer.alloc(100_000, 0x41));
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(30e6);
  });
});
