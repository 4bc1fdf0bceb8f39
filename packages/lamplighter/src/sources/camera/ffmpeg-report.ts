/** What ffmpeg says of one decoded frame, before it is made small. */
export interface FrameReport {
  /** The frame's own time, ms from the start of the stream; undefined when it has none. */
  readonly mediaMs: number | undefined;
  readonly widthPx: number;
  readonly heightPx: number;
}

/** What ffmpeg says of the video it found. */
export interface StreamReport {
  /** ffmpeg's name, `h264`; `rawvideo` for pictures as they were captured. */
  readonly codec: string;
  readonly widthPx: number;
  readonly heightPx: number;
}

/** Longer lines are cut: SEI messages are printed whole. */
const MAX_LINE_LENGTH = 2048;
/** Complaints kept for a person. */
const MAX_COMPLAINTS = 2;
const MAX_COMPLAINT_LENGTH = 200;
/** A counter that jumped by more than this was not cut off by another message: it is no counter. */
const MAX_LOST_LINES = 64;

const FRAME =
  /^\[Parsed_showinfo_\d+ @ (0x[0-9a-f]{1,16})\] \[info\] n: {0,12}(\d{1,12}) pts: *-?\w+ +pts_time:(\S{1,32}) .* s:(\d{1,6})x(\d{1,6}) /;
const STREAM = /^\[info\] {2,8}Stream #0:.{0,80}?: Video: (\w{1,32})\b.{0,200}?, (\d{1,6})x(\d{1,6})\b/;
const COMPLAINT = /^(?:\[[^\]]{0,80} @ 0x[0-9a-f]{1,16}\] )?\[(?:warning|error|fatal|panic)\] (.*)$/;
/** Said of every second packet of a live stream: two came in one tick of a clock that nobody reads. */
const NOISE = /non monotonically increasing dts/;

/**
 * Reads ffmpeg's standard error (`-loglevel level+info`): the `showinfo` line of each frame in its order, the first video
 * stream, and what it complains of. Whatever else stands there is passed over. Memory: one line, two complaints.
 *
 * A line belongs to a frame only where it begins with the filter's own name: text that a stream brings with it (titles,
 * comments) never stands at the beginning of a line.
 */
export class FfmpegReport {
  readonly #onFrame: (frame: FrameReport | undefined) => void;
  readonly #onStream: (stream: StreamReport) => void;
  #rest = '';
  #overlong = false;
  #filter: string | undefined;
  #next = 0;
  #complaints: string[] = [];

  /**
   * @param hear - `onFrame`: once a frame, in order; undefined for one whose line was lost among other messages.
   *   `onStream`: when a line describes the video
   */
  constructor(hear: {
    onFrame: (frame: FrameReport | undefined) => void;
    onStream: (stream: StreamReport) => void;
  }) {
    this.#onFrame = hear.onFrame;
    this.#onStream = hear.onStream;
  }

  push(chunk: Uint8Array): void {
    const lines = `${this.#rest}${Buffer.from(chunk).toString('latin1')}`.split('\n');
    const last = lines.pop() ?? '';
    for (const line of lines) {
      if (!this.#overlong) this.#take(line.slice(0, MAX_LINE_LENGTH));
      this.#overlong = false;
    }
    this.#rest = last.slice(0, MAX_LINE_LENGTH);
    // Of an overlong line the beginning is looked at when it is full, and the rest never.
    if (last.length > MAX_LINE_LENGTH) {
      if (!this.#overlong) this.#take(this.#rest);
      this.#overlong = true;
      this.#rest = '';
    }
  }

  /** The last things ffmpeg complained of, printable; the very last one is often only "so I give up". */
  complaint(): string {
    return this.#complaints.join('; ');
  }

  #take(line: string): void {
    const frame = FRAME.exec(line);
    if (frame !== null) return this.#takeFrame(frame);
    const stream = STREAM.exec(line);
    if (stream !== null) {
      const [, codec = '', width, height] = stream;
      this.#onStream({ codec, widthPx: Number(width), heightPx: Number(height) });
      return;
    }
    const said = COMPLAINT.exec(line)?.[1]?.trimEnd();
    if (said === undefined || said === '' || NOISE.test(said)) return;
    const printable = said.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_COMPLAINT_LENGTH);
    this.#complaints = [...this.#complaints, printable].slice(-MAX_COMPLAINTS);
  }

  #takeFrame([, filter, count, time, width, height]: RegExpExecArray): void {
    // A new size makes a new filter, which counts from nought.
    if (filter !== this.#filter) this.#next = 0;
    this.#filter = filter;
    const lost = Number(count) - this.#next;
    if (lost > 0 && lost <= MAX_LOST_LINES) {
      for (let missing = 0; missing < lost; missing++) this.#onFrame(undefined);
    }
    this.#next = Number(count) + 1;
    const seconds = Number(time);
    const mediaMs = Number.isFinite(seconds) ? seconds * 1000 : undefined;
    this.#onFrame({ mediaMs, widthPx: Number(width), heightPx: Number(height) });
  }
}
