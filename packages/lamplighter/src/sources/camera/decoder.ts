import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { keepTrying } from '../../local/retry.js';
import { childOver } from './child.js';
import { MAX_JPEG_BYTES, NOT_DECODABLE, PICTURE } from './decoder-protocol.js';
import { PREVIEW_BYTES, type Preview, previewOf } from './preview.js';

/** A frame that takes longer than this hangs the decoder. */
const HANG_MS = 5_000;
/** The decoder rests at least twice as long as it worked: a third of one core, however large the pictures are. */
const REST_FACTOR = 2;

/** A frame that is with the child. */
interface Work {
  readonly startedMs: number;
  readonly limit: { cancel(): void };
}

/** Counters of a decoder, for the status. */
export interface DecoderCounts {
  /** Previews that were due while the decoder was busy or away. */
  readonly skipped: number;
  /** Frames it answered it cannot decode. */
  readonly undecodable: number;
  /** Times its process died, hung or answered badly and was replaced. */
  readonly restarts: number;
}

/**
 * Turns some of the JPEGs it is offered into previews, in a process of its own: whatever a picture does to a decoder, it does
 * it there. The process is given a frame only when idle, is killed when it hangs or answers badly, comes back with
 * back-off, and exits when this process does, however that happens.
 */
export class Decoder {
  readonly #environment: Environment;
  readonly #periodMs: number;
  readonly #onPreview: (preview: Preview) => void;
  #child: ChildProcess | undefined;
  #work: Work | undefined;
  #nextMs = -Infinity;
  readonly #answer = new Uint8Array(1 + PREVIEW_BYTES);
  #answerLength = 0;
  readonly #counts = { skipped: 0, undecodable: 0, restarts: 0 };

  /** @param options - `previewPerSecond`: > 0; `onPreview`: gets each preview, its own to keep */
  constructor(
    options: { readonly previewPerSecond: number; readonly onPreview: (preview: Preview) => void },
    environment: Environment,
  ) {
    this.#environment = environment;
    this.#periodMs = 1000 / options.previewPerSecond;
    this.#onPreview = options.onPreview;
  }

  get counts(): DecoderCounts {
    return { ...this.#counts };
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
   * Offers a whole JPEG. It is copied if a preview is due and the child is idle, and ignored otherwise.
   * @param jpeg - the caller may wipe it at once
   */
  offer(jpeg: Uint8Array): void {
    const nowMs = this.#nowMs();
    if (nowMs < this.#nextMs || jpeg.length > MAX_JPEG_BYTES) return;
    this.#nextMs = nowMs + this.#periodMs;
    const child = this.#child;
    if (child?.stdin?.writable !== true || this.#work !== undefined) {
      this.#counts.skipped += 1;
      return;
    }
    const hang = () => child.kill('SIGKILL');
    this.#work = { startedMs: nowMs, limit: this.#environment.timers.after(HANG_MS, hang) };
    const message = Buffer.allocUnsafeSlow(4 + jpeg.length);
    message.writeUInt32BE(jpeg.length);
    message.set(jpeg, 4);
    child.stdin.write(message, () => message.fill(0));
  }

  async #runChild(signal: AbortSignal): Promise<void> {
    const child = this.#environment.spawn(process.execPath, ['--max-old-space-size=256', decoderScript()], {
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
      const preview = previewOf(this.#answer.slice(1));
      this.#finish(work);
      this.#onPreview(preview);
    }
  }

  #finish(work: Work): void {
    const nowMs = this.#nowMs();
    this.#nextMs = Math.max(this.#nextMs, nowMs + REST_FACTOR * (nowMs - work.startedMs));
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
