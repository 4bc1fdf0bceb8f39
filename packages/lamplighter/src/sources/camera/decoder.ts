import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { keepTrying } from '../../local/retry.js';
import { childOver } from './child.js';
import { MAX_JPEG_BYTES, NOT_DECODABLE, PICTURE, PICTURE_HEADER_BYTES } from './decoder-protocol.js';
import { HEALTH_HEIGHT, HEALTH_WIDTH } from './health/picture.js';
import type { SeenPicture } from './input.js';
import { sandboxFor } from './sandbox.js';

/** A frame that takes longer than this hangs the decoder. */
const HANG_MS = 5_000;
/**
 * The decoder rests at least twice as long as it works: a third of one core. Only where that would make it less than two
 * pictures a second it rests as long as it works: a 1080p JPEG takes it a quarter of a second.
 */
const REST_FACTOR = 2;
const LEAST_REST_FACTOR = 1;
const SLOWEST_PERIOD_MS = 500;
/** Of its own, beside what its runtime reserves without using it. */
const DATA_BYTES = 1024 * 1024 * 1024;

/** A frame that is with the child. */
interface Work {
  readonly startedMs: number;
  readonly onPicture: (picture: SeenPicture) => void;
  readonly limit: { cancel(): void };
}

/** Counters of a decoder, for the status. */
export interface DecoderCounts {
  /** Pictures that were due while the decoder was busy or away. */
  readonly skipped: number;
  /** Frames it answered it cannot decode. */
  readonly undecodable: number;
  /** Times its process died, hung or answered badly and was replaced. */
  readonly restarts: number;
}

/**
 * Turns some of the JPEGs it is offered into pictures, in a process of its own: whatever a picture does to a decoder, it does
 * it there. The process is given a frame only when idle, is killed when it hangs or answers badly, comes back with
 * back-off, and exits when this process does, however that happens.
 */
export class Decoder {
  readonly #environment: Environment;
  readonly #periodMs: number;
  #child: ChildProcess | undefined;
  #work: Work | undefined;
  #nextMs = -Infinity;
  readonly #answer = Buffer.allocUnsafeSlow(PICTURE_HEADER_BYTES + HEALTH_WIDTH * HEALTH_HEIGHT);
  #answerLength = 0;
  #sandbox = '';
  readonly #counts = { skipped: 0, undecodable: 0, restarts: 0 };

  /** @param options - `picturesPerSecond`: at most, > 0 */
  constructor(options: { readonly picturesPerSecond: number }, environment: Environment) {
    this.#environment = environment;
    this.#periodMs = 1000 / options.picturesPerSecond;
  }

  get counts(): DecoderCounts {
    return { ...this.#counts };
  }

  /** What its process may still do, in words; empty before the first one. */
  get sandbox(): string {
    return this.#sandbox;
  }

  /** Keeps a child at hand until the signal fires; resolves when the last one is gone. */
  run(signal: AbortSignal): Promise<void> {
    return keepTrying(() => this.#runChild(signal), {
      environment: this.#environment,
      signal,
      onFault: () => (this.#counts.restarts += 1),
    });
  }

  /**
   * Offers a whole JPEG. It is copied if a picture is due and the child is idle, and ignored otherwise.
   * @param jpeg - the caller may wipe it at once
   * @param onPicture - gets what becomes of it, if anything, with the time of this call; valid during its call only
   */
  offer(jpeg: Uint8Array, onPicture: (picture: SeenPicture) => void): void {
    const nowMs = this.#nowMs();
    if (nowMs < this.#nextMs || jpeg.length > MAX_JPEG_BYTES) return;
    this.#nextMs = nowMs + this.#periodMs;
    const child = this.#child;
    if (child?.stdin?.writable !== true || this.#work !== undefined) {
      this.#counts.skipped += 1;
      return;
    }
    const hang = () => child.kill('SIGKILL');
    this.#work = { startedMs: nowMs, onPicture, limit: this.#environment.timers.after(HANG_MS, hang) };
    const message = Buffer.allocUnsafeSlow(4 + jpeg.length);
    message.writeUInt32BE(jpeg.length);
    message.set(jpeg, 4);
    child.stdin.write(message, () => message.fill(0));
  }

  async #runChild(signal: AbortSignal): Promise<void> {
    const program = ['--max-old-space-size=256', decoderScript()];
    const needs = { network: false, dataBytes: DATA_BYTES, ownFiles: true };
    const sandbox = await sandboxFor(needs, this.#environment);
    signal.throwIfAborted();
    // Without setpriv this process is all that limits it; it still ends with us, at the end of its stdin.
    const [command, args] =
      sandbox === undefined
        ? [process.execPath, program]
        : [sandbox.command, [...sandbox.prefix, process.execPath, ...program]];
    this.#sandbox = sandbox?.words ?? 'a process of its own, no more: setpriv is missing';
    const child = this.#environment.spawn(command, args, {
      cwd: '/',
      env: {},
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    });
    this.#child = child;
    child.stdout?.on('data', (chunk: Buffer) => this.#takeAnswer(child, chunk));
    try {
      const how = await childOver(child, signal);
      throw new LamplighterError('ERR_CHILD_EXITED', `the picture decoder ended (${how})`);
    } finally {
      this.#child = undefined;
      this.#work?.limit.cancel();
      this.#work = undefined;
      this.#answerLength = 0;
    }
  }

  #takeAnswer(child: ChildProcess, chunk: Buffer): void {
    const work = this.#work;
    if (work === undefined || this.#answerLength + chunk.length > this.#answer.length) {
      child.kill('SIGKILL');
      return;
    }
    this.#answer.set(chunk, this.#answerLength);
    this.#answerLength += chunk.length;
    const kind = this.#answer[0];
    if (kind === NOT_DECODABLE && this.#answerLength === 1) {
      this.#counts.undecodable += 1;
      this.#finish(work);
    } else if (kind !== PICTURE) {
      child.kill('SIGKILL');
    } else if (this.#answerLength === this.#answer.length) {
      const picture: SeenPicture = {
        luma: this.#answer.subarray(PICTURE_HEADER_BYTES),
        sourceWidth: this.#answer.readUInt16BE(1),
        sourceHeight: this.#answer.readUInt16BE(3),
        arrivedMs: work.startedMs,
        mediaMs: undefined,
      };
      this.#finish(work);
      work.onPicture(picture);
      this.#answer.fill(0);
    }
  }

  #finish(work: Work): void {
    const workedMs = this.#nowMs() - work.startedMs;
    const restedMs = workedMs * (1 + REST_FACTOR);
    const periodMs = Math.min(restedMs, Math.max(SLOWEST_PERIOD_MS, workedMs * (1 + LEAST_REST_FACTOR)));
    this.#nextMs = Math.max(this.#nextMs, work.startedMs + periodMs);
    work.limit.cancel();
    this.#work = undefined;
    this.#answerLength = 0;
  }

  #nowMs(): number {
    return Number(this.#environment.monotonicNs() / 1_000_000n);
  }
}

/** The compiled script: Node 20 runs no TypeScript, so when this file is run from src the built one is used. */
function decoderScript(): string {
  const here = fileURLToPath(import.meta.url);
  const folder = here.endsWith('.ts')
    ? path.resolve(path.dirname(here), '../../../dist/sources/camera')
    : path.dirname(here);
  return path.join(folder, 'decoder-process.js');
}
