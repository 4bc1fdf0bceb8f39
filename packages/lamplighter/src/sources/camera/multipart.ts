import { LamplighterError } from '@lamplighter/core';
import { BytePattern } from './byte-pattern.js';

/** The longest header block of a part, bytes, the line after the delimiter included. */
export const MAX_PART_HEADER_BYTES = 8 * 1024;
/** The most that may stand outside of parts before the next delimiter, bytes. */
export const MAX_GARBAGE_BYTES = 64 * 1024;
/** RFC 2046, section 5.1.1. */
const MAX_BOUNDARY_LENGTH = 70;
/** The boundary, the dashes before and behind it, and the line end. */
const MAX_DELIMITER_LENGTH = MAX_BOUNDARY_LENGTH + 16;
const FIRST_BUFFER_BYTES = 64 * 1024;
const LF = 0x0a;
const CR = 0x0d;

/**
 * The boundary in a Content-Type, without leading dashes and quotes: cameras disagree whether `--` belongs to it.
 * @returns undefined for `application/octet-stream`, which is what ffmpeg calls its `mpjpeg` unless told otherwise: then the
 *   first line of the stream is the delimiter
 * @throws LamplighterError ERR_CAMERA_FORMAT when it is no multipart stream or names no usable boundary
 */
export function boundaryOf(contentType: string | undefined): string | undefined {
  if (/^application\/octet-stream\b/i.test(contentType ?? '')) return undefined;
  if (!/^multipart\/(x-mixed-replace|mixed)\b/i.test(contentType ?? '')) {
    throw new LamplighterError(
      'ERR_CAMERA_FORMAT',
      `the answer is ${printable(contentType)}, not a stream of JPEGs`,
      {
        hint: 'give the address of the MJPEG stream itself, not of a page or a single picture',
      },
    );
  }
  const parameter = /;\s*boundary\s*=\s*(?:"([^"]*)"|([^;\s]+))/i.exec(contentType ?? '');
  const boundary = (parameter?.[1] ?? parameter?.[2] ?? '').replace(/^-+/, '').trimEnd();
  if (!isBoundary(boundary)) {
    throw new LamplighterError('ERR_CAMERA_FORMAT', 'the stream names no usable multipart boundary');
  }
  return boundary;
}

type State = 'between' | 'delimiter-tail' | 'headers' | 'counted' | 'open';

/**
 * A streaming parser for `multipart/x-mixed-replace` as real cameras send it: with Content-Length or without, with CRLF
 * or LF, with any number of dashes before the boundary.
 *
 * Every byte is looked at once (parts without a length are searched by Knuth–Morris–Pratt, so near-boundaries cost nothing
 * extra), and memory is one frame. How the bytes are cut into chunks changes nothing. It fails closed: after an error every
 * push throws that error. Frames are wiped from its buffer; what the runtime copied on the way cannot be.
 */
export class MultipartParser {
  #boundary: string | undefined;
  readonly #maxFrameBytes: number;
  readonly #onFrame: (frame: Uint8Array) => void;
  #state: State = 'between';
  #failure: LamplighterError | undefined;
  /** Bytes since the last delimiter that belong to no part, or of the header block. */
  #overhead = 0;
  readonly #line = new Uint8Array(MAX_PART_HEADER_BYTES);
  #lineLength = 0;
  #contentLength: number | undefined;
  #frame: Uint8Array;
  #frameLength = 0;
  #pattern: BytePattern | undefined;
  #matched = 0;

  /**
   * @param options - `boundary`: from {@link boundaryOf}; `maxFrameBytes`: ≥ 1; `onFrame`: gets each whole frame, length
   *   ≥ 1, valid during the call only
   */
  constructor(options: {
    boundary: string | undefined;
    maxFrameBytes: number;
    onFrame: (frame: Uint8Array) => void;
  }) {
    const { boundary, maxFrameBytes, onFrame } = options;
    if (boundary !== undefined && !isBoundary(boundary)) {
      throw new RangeError('a boundary has 1 to 70 characters and does not begin with a dash');
    }
    if (!(maxFrameBytes >= 1)) throw new RangeError('a frame has at least one byte');
    this.#boundary = boundary;
    this.#maxFrameBytes = maxFrameBytes;
    this.#onFrame = onFrame;
    this.#frame = new Uint8Array(Math.min(FIRST_BUFFER_BYTES, maxFrameBytes));
  }

  /**
   * Takes the next bytes; calls `onFrame` for each frame they complete.
   * @throws LamplighterError ERR_CAMERA_FORMAT or ERR_CAMERA_FRAME_TOO_LARGE; frames before the fault were delivered
   */
  push(chunk: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      for (let offset = 0; offset < chunk.length;) offset = this.#step(chunk, offset);
    } catch (error) {
      this.wipe();
      if (error instanceof LamplighterError) this.#failure = error;
      throw error;
    }
  }

  /** Overwrites the part of a frame held. The parser takes nothing more after it. */
  wipe(): void {
    this.#frame.fill(0);
    this.#failure ??= new LamplighterError('ERR_STOPPED', 'the parser was wiped');
  }

  #step(chunk: Uint8Array, offset: number): number {
    if (this.#state === 'counted') return this.#readCounted(chunk, offset);
    if (this.#state === 'open') return this.#readOpen(chunk, offset);
    return this.#readLine(chunk, offset);
  }

  #readLine(chunk: Uint8Array, offset: number): number {
    const lineFeed = chunk.indexOf(LF, offset);
    const end = lineFeed === -1 ? chunk.length : lineFeed + 1;
    this.#overhead += end - offset;
    const limit = this.#state === 'between' ? MAX_GARBAGE_BYTES : MAX_PART_HEADER_BYTES;
    if (this.#overhead > limit) {
      const where = this.#state === 'between' ? 'outside of any part' : 'of part headers';
      throw malformed(`more than ${limit} bytes ${where}`);
    }
    const kept = chunk.subarray(offset, Math.min(end, offset + this.#line.length - this.#lineLength));
    this.#line.set(kept, this.#lineLength);
    this.#lineLength += kept.length;
    if (lineFeed !== -1) {
      const line = Buffer.from(this.#line.subarray(0, this.#lineLength)).toString('latin1');
      this.#lineLength = 0;
      this.#takeLine(line);
    }
    return end;
  }

  #takeLine(lineWithEnd: string): void {
    const line = lineWithEnd.trimEnd();
    if (this.#state === 'headers') {
      if (line === '') this.#beginBody();
      else this.#takeHeader(line);
    } else if (this.#state === 'delimiter-tail') {
      if (line === '') this.#enter('headers');
      else if (line === '--') this.#enter('between');
      else throw malformed('a delimiter with something behind it');
    } else if (lineWithEnd.length <= MAX_DELIMITER_LENGTH && this.#isDelimiter(line)) {
      // What this camera really writes is what ends a part that gives no length.
      this.#pattern ??= new BytePattern(`\n${line}`);
      this.#enter('headers');
    }
    // Anything else is padding, a preamble, or the closing delimiter: what counts is that a delimiter comes.
  }

  #isDelimiter(line: string): boolean {
    const boundary = line.replace(/^-+/, '');
    if (this.#boundary === undefined && line.startsWith('--') && isBoundary(boundary))
      this.#boundary = boundary;
    return boundary === this.#boundary;
  }

  #takeHeader(line: string): void {
    const value = /^content-length\s*:\s*(.*)$/i.exec(line)?.[1];
    if (value === undefined) return;
    if (!/^\d{1,15}$/.test(value)) throw malformed('a part length that is no number');
    const length = Number(value);
    if (this.#contentLength !== undefined && this.#contentLength !== length) {
      throw malformed('two different lengths of one part');
    }
    if (length > this.#maxFrameBytes) throw tooLarge(this.#maxFrameBytes);
    this.#contentLength = length;
  }

  #beginBody(): void {
    // In a part without a length the line feed just read may already begin the next delimiter.
    this.#matched = 1;
    if (this.#contentLength === undefined) this.#enter('open');
    else this.#enter(this.#contentLength === 0 ? 'between' : 'counted');
  }

  #readCounted(chunk: Uint8Array, offset: number): number {
    const contentLength = this.#contentLength ?? 0;
    const end = Math.min(chunk.length, offset + contentLength - this.#frameLength);
    this.#append(chunk.subarray(offset, end), contentLength);
    if (this.#frameLength === contentLength) {
      this.#deliver(contentLength);
      this.#enter('between');
    }
    return end;
  }

  #readOpen(chunk: Uint8Array, offset: number): number {
    const pattern = this.#pattern;
    if (pattern === undefined) throw new TypeError('a part begins with a delimiter');
    // The frame, a CR and the delimiter: what the buffer holds when the delimiter is seen.
    const limit = this.#maxFrameBytes + 1 + pattern.length;
    let matched = this.#matched;
    let end = offset;
    while (end < chunk.length && matched < pattern.length) {
      matched = pattern.next(matched, chunk[end] ?? 0);
      end += 1;
    }
    this.#append(chunk.subarray(offset, end), limit);
    this.#matched = matched;
    if (matched === pattern.length) {
      const body = Math.max(0, this.#frameLength - pattern.length);
      const length = body > 0 && this.#frame[body - 1] === CR ? body - 1 : body;
      if (length > this.#maxFrameBytes) throw tooLarge(this.#maxFrameBytes);
      this.#deliver(length);
      this.#enter('delimiter-tail');
    }
    return end;
  }

  #append(bytes: Uint8Array, limit: number): void {
    const length = this.#frameLength + bytes.length;
    if (length > limit) throw tooLarge(this.#maxFrameBytes);
    if (length > this.#frame.length) {
      const larger = new Uint8Array(Math.min(limit, Math.max(length, this.#frame.length * 2)));
      larger.set(this.#frame.subarray(0, this.#frameLength));
      this.#frame.fill(0);
      this.#frame = larger;
    }
    this.#frame.set(bytes, this.#frameLength);
    this.#frameLength = length;
  }

  #deliver(length: number): void {
    if (length > 0) this.#onFrame(this.#frame.subarray(0, length));
    this.#frame.fill(0, 0, this.#frameLength);
    this.#frameLength = 0;
  }

  #enter(state: State): void {
    if (state === 'headers') this.#contentLength = undefined;
    // The rest of a delimiter line and the headers below it share one limit.
    if (!(state === 'headers' && this.#state === 'delimiter-tail')) this.#overhead = 0;
    this.#state = state;
  }
}

function isBoundary(text: string): boolean {
  return text.length > 0 && text.length <= MAX_BOUNDARY_LENGTH && !text.startsWith('-');
}

function printable(text: string | undefined): string {
  return text === undefined ? 'of no type' : `"${text.replace(/[^\x20-\x7e]/g, '?').slice(0, 60)}"`;
}

function malformed(what: string): LamplighterError {
  return new LamplighterError('ERR_CAMERA_FORMAT', `the stream is not multipart video: ${what}`);
}

function tooLarge(maxFrameBytes: number): LamplighterError {
  return new LamplighterError('ERR_CAMERA_FRAME_TOO_LARGE', `a frame has more than ${maxFrameBytes} bytes`, {
    hint: 'lower the picture size or quality in the camera',
  });
}
