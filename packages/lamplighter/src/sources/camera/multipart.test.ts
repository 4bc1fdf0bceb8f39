import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_GARBAGE_BYTES, MAX_PART_HEADER_BYTES, MultipartParser, boundaryOf } from './multipart.js';

const latin1 = (text: string) => Buffer.from(text, 'latin1');

/** Feeds the chunks; gives what came out, and the code of the error if there was one. */
function parse(
  chunks: readonly Uint8Array[],
  options: { boundary?: string | undefined; maxFrameBytes?: number } = {},
) {
  const frames: string[] = [];
  const parser = new MultipartParser({
    boundary: 'boundary' in options ? options.boundary : 'b',
    maxFrameBytes: options.maxFrameBytes ?? 1 << 20,
    onFrame: (frame) => frames.push(Buffer.from(frame).toString('latin1')),
  });
  try {
    for (const chunk of chunks) parser.push(chunk);
  } catch (error) {
    const code: unknown = error instanceof Error && 'code' in error ? error.code : error;
    return { frames, code };
  }
  return { frames, code: undefined };
}

const bytewise = (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte));

function cut(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const length of lengths) {
    chunks.push(bytes.subarray(offset, offset + length));
    offset += length;
  }
  return [...chunks, bytes.subarray(offset)];
}

describe('boundaryOf', () => {
  it.each([
    ['multipart/x-mixed-replace;boundary=ffmpeg', 'ffmpeg'],
    ['multipart/x-mixed-replace; boundary=--myboundary', 'myboundary'],
    ['multipart/x-mixed-replace; boundary="--video boundary--"', 'video boundary--'],
    ['Multipart/X-Mixed-Replace;  Boundary = "frame"; x=y', 'frame'],
  ])('%s', (contentType, boundary) => {
    expect(boundaryOf(contentType)).toBe(boundary);
  });

  it.each([
    undefined,
    'image/jpeg',
    'text/html',
    'multipart/x-mixed-replace',
    'multipart/x-mixed-replace; boundary=',
    'multipart/x-mixed-replace; boundary=----',
    `multipart/x-mixed-replace; boundary=${'x'.repeat(71)}`,
  ])('refuses %s', (contentType) => {
    expect(() => boundaryOf(contentType)).toThrow(expect.objectContaining({ code: 'ERR_CAMERA_FORMAT' }));
  });
});

describe('MultipartParser reads what real cameras send', () => {
  const cameras: Record<string, { contentType: string; body: string }> = {
    'ffmpeg mpjpeg': {
      contentType: 'multipart/x-mixed-replace;boundary=ffmpeg',
      body: '--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 3\r\n\r\nONE\r\n--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 3\r\n\r\nTWO\r\n--ffmpeg\r\n',
    },
    'ffmpeg mpjpeg, not told what to call itself': {
      contentType: 'application/octet-stream',
      body: '--ffmpeg\r\nContent-length: 3\r\n\r\nONE\r\n--ffmpeg\r\nContent-length: 3\r\n\r\nTWO\r\n--ffmpeg\r\n',
    },
    'mjpg-streamer': {
      contentType: 'multipart/x-mixed-replace;boundary=boundarydonotcross',
      body: '\r\n--boundarydonotcross\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\nX-Timestamp: 1.000\r\n\r\nONE\r\n--boundarydonotcross\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\nX-Timestamp: 2.000\r\n\r\nTWO\r\n--boundarydonotcross\r\n',
    },
    'Axis, dashes in the parameter': {
      contentType: 'multipart/x-mixed-replace; boundary=--myboundary',
      body: '--myboundary\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nONE\r\n\r\n--myboundary\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nTWO\r\n',
    },
    'ESP32-CAM': {
      contentType: 'multipart/x-mixed-replace;boundary=123456789000000000000987654321',
      body: '\r\n--123456789000000000000987654321\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nONE\r\n--123456789000000000000987654321\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nTWO',
    },
    'no lengths, dashes on top of those in the parameter': {
      contentType: 'multipart/x-mixed-replace; boundary="--x"',
      body: '----x\r\nContent-Type: image/jpeg\r\n\r\nONE\r\n----x\r\nContent-Type: image/jpeg\r\n\r\nTWO\r\n----x--\r\n',
    },
    'no lengths, no headers, only LF, no dashes': {
      contentType: 'multipart/x-mixed-replace; boundary=x',
      body: 'x\n\nONE\nx\n\nTWO\nx\n',
    },
  };
  it.each(Object.entries(cameras))('%s', (_name, { contentType, body }) => {
    const boundary = boundaryOf(contentType);
    for (const chunks of [[latin1(body)], bytewise(latin1(body))]) {
      expect(parse(chunks, { boundary })).toEqual({ frames: ['ONE', 'TWO'], code: undefined });
    }
  });
});

describe('MultipartParser', () => {
  const payload = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => {
    // A JPEG ends in ff d9; a part without a length may not end in a CR or hold its own delimiter.
    const text = Buffer.from(bytes).toString('latin1').replaceAll('--b', '--c');
    return `${text}\xff\xd9`;
  });
  const stream = fc.array(fc.record({ payload, counted: fc.boolean() }), { maxLength: 8 });
  const write = (parts: readonly { payload: string; counted: boolean }[]) =>
    latin1(
      `preamble\r\n--b\r\n${parts
        .map(
          ({ payload, counted }) =>
            `${counted ? `Content-Length: ${payload.length}\r\n` : ''}X: y\r\n\r\n${payload}\r\n--b\r\n`,
        )
        .join('')}`,
    );

  it('gives back every part, however the stream is cut', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(50), { maxLength: 60 }), (parts, lengths) => {
        const bytes = write(parts);
        const expected = { frames: parts.map(({ payload }) => payload), code: undefined };
        expect(parse([bytes])).toEqual(expected);
        expect(parse(bytewise(bytes))).toEqual(expected);
        expect(parse(cut(bytes, lengths))).toEqual(expected);
      }),
    );
  });

  it('says the same of any garbage, however it is cut', () => {
    const token = fc.constantFrom(
      '\r\n', '\n', '--b', '--b--', 'b', '\r', ' ', 'Content-Length: 2', 'Content-Length: 9', 'xx', '--', ': ',
    ); // prettier-ignore
    const garbage = fc.array(fc.oneof(token, fc.string({ maxLength: 4 })), { maxLength: 60 });
    fc.assert(
      fc.property(
        garbage,
        fc.array(fc.nat(20), { maxLength: 30 }),
        fc.constantFrom('b', undefined),
        (tokens, lengths, boundary) => {
          const bytes = latin1(`--b\r\n${tokens.join('')}`);
          const options = { maxFrameBytes: 8, boundary };
          const whole = parse([bytes], options);
          expect(parse(bytewise(bytes), options)).toEqual(whole);
          expect(parse(cut(bytes, lengths), options)).toEqual(whole);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('takes a frame of exactly the limit and no more, with and without a length', () => {
    for (const header of ['', 'Content-Length: %\r\n']) {
      const of = (length: number) => {
        const head = header.replace('%', String(length));
        return latin1(`--b\r\n${head}\r\n${'x'.repeat(length)}\r\n--b\r\n`);
      };
      for (const shape of [(bytes: Buffer) => [bytes], bytewise]) {
        expect(parse(shape(of(100)), { maxFrameBytes: 100 }).frames).toEqual(['x'.repeat(100)]);
        expect(parse(shape(of(101)), { maxFrameBytes: 100 })).toEqual({
          frames: [],
          code: 'ERR_CAMERA_FRAME_TOO_LARGE',
        });
      }
    }
  });

  it('refuses an announced giant before taking a byte of it', () => {
    const result = parse([latin1('--b\r\nContent-Length: 99999999999\r\n')]);
    expect(result.code).toBe('ERR_CAMERA_FRAME_TOO_LARGE');
  });

  it.each([
    ['an endless preamble', 'x'.repeat(MAX_GARBAGE_BYTES + 1)],
    ['endless short lines', 'x\n'.repeat(MAX_GARBAGE_BYTES / 2 + 1)],
    ['an endless header line', `--b\r\n${'x'.repeat(MAX_PART_HEADER_BYTES + 1)}`],
    ['endless headers', `--b\r\n${'a: b\r\n'.repeat(MAX_PART_HEADER_BYTES / 6 + 1)}`],
    ['garbage between parts', `--b\r\nContent-Length: 1\r\n\r\nx${'y'.repeat(MAX_GARBAGE_BYTES + 1)}`],
    ['a length that is no number', '--b\r\nContent-Length: -1\r\n'],
    ['two lengths', '--b\r\nContent-Length: 1\r\nContent-Length: 2\r\n'],
    ['something behind a delimiter', '--b\r\n\r\nframe\r\n--bad\r\n'],
  ])('refuses %s', (_name, text) => {
    expect(parse([latin1(text)]).code).toBe('ERR_CAMERA_FORMAT');
  });

  it('takes exactly the limits', () => {
    const preamble = `${'x'.repeat(MAX_GARBAGE_BYTES - 6)}\n--b\r\n`;
    expect(latin1(preamble).length).toBe(MAX_GARBAGE_BYTES);
    expect(parse([latin1(`${preamble}\r\nONE\r\n--b\r\n`)]).frames).toEqual(['ONE']);
    const headers = `x: ${'y'.repeat(MAX_PART_HEADER_BYTES - 7)}\r\n\r\n`;
    expect(headers.length).toBe(MAX_PART_HEADER_BYTES);
    expect(parse([latin1(`--b\r\n${headers}ONE\r\n--b\r\n`)]).frames).toEqual(['ONE']);
  });

  it('is no delimiter what only looks like one cut short', () => {
    const line = `--b${' '.repeat(MAX_PART_HEADER_BYTES)}x\r\n`;
    expect(parse([latin1(`${line}\r\nONE\r\n--b\r\n\r\nTWO\r\n--b\r\n`)]).frames).toEqual(['TWO']);
  });

  it('delivers the frames before a fault, then fails closed and wipes', () => {
    const seen: Uint8Array[] = [];
    const parser = new MultipartParser({
      boundary: 'b',
      maxFrameBytes: 100,
      onFrame: (frame) => seen.push(frame),
    });
    parser.push(latin1('--b\r\n\r\nONE\r\n--b\r\n\r\nsecret'));
    expect(seen.map((view) => view.length)).toEqual([3]);
    expect(seen[0]?.buffer.byteLength).toBeGreaterThanOrEqual(100);
    expect(() => parser.push(latin1('x'.repeat(200)))).toThrow(
      expect.objectContaining({ code: 'ERR_CAMERA_FRAME_TOO_LARGE' }),
    );
    expect(() => parser.push(latin1('\r\n--b\r\n'))).toThrow(
      expect.objectContaining({ code: 'ERR_CAMERA_FRAME_TOO_LARGE' }),
    );
    expect(new Uint8Array(seen[0]?.buffer ?? new ArrayBuffer(1)).every((byte) => byte === 0)).toBe(true);
  });

  it('reads near-boundaries in the time of anything else', () => {
    const boundary = 'a'.repeat(70);
    const near = latin1(`\n--${'a'.repeat(69)}`.repeat(40_000));
    const plain = Buffer.alloc(near.length, 'x');
    const time = (bytes: Buffer) => {
      const parser = new MultipartParser({ boundary, maxFrameBytes: 1 << 23, onFrame: () => undefined });
      parser.push(latin1(`--${boundary}\r\n\r\n`));
      const start = process.cpuUsage();
      for (let offset = 0; offset < bytes.length; offset += 1400) {
        parser.push(bytes.subarray(offset, offset + 1400));
      }
      const { user, system } = process.cpuUsage(start);
      return user + system;
    };
    time(plain);
    const least = (bytes: Buffer) => Math.min(...[1, 2, 3].map(() => time(bytes)));
    // A search that begins anew at each byte would take some 70 times as long.
    expect(least(near)).toBeLessThan(10 * least(plain) + 50_000);
  });

  it('throws for misuse', () => {
    const onFrame = () => undefined;
    expect(() => new MultipartParser({ boundary: '', maxFrameBytes: 1, onFrame })).toThrow(RangeError);
    expect(() => new MultipartParser({ boundary: '-x', maxFrameBytes: 1, onFrame })).toThrow(RangeError);
    expect(() => new MultipartParser({ boundary: 'x', maxFrameBytes: 0, onFrame })).toThrow(RangeError);
  });
});
