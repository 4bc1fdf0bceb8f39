import type { ServerResponse } from 'node:http';
import type { Wall } from './wall.js';

/** As many may watch at once. */
export const MAX_VIEWERS = 16;
/** Nobody watches: the lamps still burn, moved on this often. It costs some 0.3 % of a core. */
const IDLE_PERIOD_MS = 10_000;

const BOUNDARY = 'lamplighter-frame';
/** What a stream's answer is called. */
export const STREAM_TYPE = `multipart/x-mixed-replace; boundary=${BOUNDARY}`;

interface Viewer {
  /** When the write began that has not reached the operating system yet; undefined when none is under way. */
  busySinceMs: number | undefined;
}

/**
 * Everyone who watches, and the clock of the wall they watch. Each frame is drawn and encoded once for all.
 *
 * A viewer that has not taken its last frame gets no new one, so at most one frame waits for each; one that takes nothing
 * for `stalledMs` loses its place. With no viewer no frame is drawn.
 */
export class Viewers {
  readonly #wall: Wall;
  readonly #periodMs: number;
  readonly #stalledMs: number;
  readonly #viewers = new Map<ServerResponse, Viewer>();
  #timer: NodeJS.Timeout;
  #frame: Uint8Array | undefined;
  #frameAtMs = -Infinity;
  #wallAtMs = performance.now();
  #stopped = false;

  /**
   * @param wall - from here on nobody else moves it
   * @param periodMs - time between two frames
   * @param stalledMs - how long a viewer may leave a frame waiting
   */
  constructor(wall: Wall, periodMs: number, stalledMs: number) {
    this.#wall = wall;
    this.#periodMs = periodMs;
    this.#stalledMs = stalledMs;
    this.#timer = setInterval(() => this.#catchUp(), IDLE_PERIOD_MS);
  }

  /** The latest frame: that of the stream, or a new one if it is older than a frame may be. */
  latestFrame(): Uint8Array {
    const nowMs = performance.now();
    if (this.#frame === undefined || nowMs - this.#frameAtMs >= this.#periodMs) return this.#newFrame();
    return this.#frame;
  }

  /** Nobody else can watch: there are {@link MAX_VIEWERS}, or the wall has stopped. */
  get full(): boolean {
    return this.#stopped || this.#viewers.size >= MAX_VIEWERS;
  }

  /**
   * Adds a viewer; frames follow until it goes or {@link stop}.
   *
   * @param response - its head says {@link STREAM_TYPE} and no length
   * @throws RangeError if {@link full}; nothing has been written then
   */
  add(response: ServerResponse): void {
    if (this.full) throw new RangeError('there is no place for another viewer');
    const viewer: Viewer = { busySinceMs: undefined };
    this.#viewers.set(response, viewer);
    response.once('close', () => this.#remove(response));
    // 'close' follows; without a listener an aborted write would end the process.
    response.on('error', () => undefined);
    if (this.#viewers.size === 1) this.#every(this.#periodMs, () => this.#show());
    this.#send(response, viewer, partOf(this.latestFrame()));
  }

  /** Ends every stream and the clock. Who does not take the end is cut off. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const [response, viewer] of this.#viewers) {
      if (viewer.busySinceMs === undefined) response.end(`--${BOUNDARY}--\r\n`);
      else response.destroy();
    }
    this.#viewers.clear();
  }

  #show(): void {
    const nowMs = performance.now();
    const free: [ServerResponse, Viewer][] = [];
    for (const [response, viewer] of this.#viewers) {
      if (viewer.busySinceMs === undefined) free.push([response, viewer]);
      else if (nowMs - viewer.busySinceMs > this.#stalledMs) response.destroy();
    }
    if (free.length === 0) return;
    const part = partOf(this.#newFrame());
    for (const [response, viewer] of free) this.#send(response, viewer, part);
  }

  #send(response: ServerResponse, viewer: Viewer, part: Uint8Array): void {
    viewer.busySinceMs = performance.now();
    response.write(part, () => {
      viewer.busySinceMs = undefined;
    });
  }

  #remove(response: ServerResponse): void {
    this.#viewers.delete(response);
    if (this.#viewers.size === 0 && !this.#stopped) this.#every(IDLE_PERIOD_MS, () => this.#catchUp());
  }

  #every(periodMs: number, run: () => void): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(run, periodMs);
  }

  #newFrame(): Uint8Array {
    this.#catchUp();
    this.#frame = this.#wall.photograph();
    this.#frameAtMs = this.#wallAtMs;
    return this.#frame;
  }

  #catchUp(): void {
    const nowMs = performance.now();
    this.#wall.advance((nowMs - this.#wallAtMs) / 1000);
    this.#wallAtMs = nowMs;
  }
}

function partOf(frame: Uint8Array): Uint8Array {
  const head = `--${BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: ${frame.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), frame, Buffer.from('\r\n')]);
}
