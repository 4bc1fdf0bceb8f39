import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

const MAX_LINES = 1_000;
const MAX_LINE_LENGTH = 400;

/** One line of a guest's console, and when it came, since the start. */
export interface ConsoleLine {
  readonly atMs: number;
  readonly text: string;
}

/** The last thousand lines that a guest wrote to its console. */
export class Console {
  readonly #lines: ConsoleLine[] = [];
  readonly #decoder = new StringDecoder('latin1');
  readonly #startMs = performance.now();
  #rest = '';

  /** @param streams - the console, and what QEMU itself says */
  constructor(...streams: readonly Readable[]) {
    for (const stream of streams) stream.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  get lines(): readonly ConsoleLine[] {
    return this.#lines;
  }

  /** For error messages: the last lines, each with its time. */
  tail(count = 30): string {
    const text = ({ atMs, text }: ConsoleLine) => `${(atMs / 1000).toFixed(1).padStart(6)}s ${text}`;
    const partial = this.#rest === '' ? [] : [{ atMs: this.#nowMs(), text: this.#rest }];
    return [...this.#lines, ...partial].slice(-count).map(text).join('\n');
  }

  #take(chunk: Buffer): void {
    const parts = `${this.#rest}${this.#decoder.write(chunk)}`.split('\n');
    this.#rest = (parts.pop() ?? '').slice(-MAX_LINE_LENGTH);
    for (const part of parts) this.#lines.push({ atMs: this.#nowMs(), text: printable(part) });
    this.#lines.splice(0, this.#lines.length - MAX_LINES);
  }

  #nowMs(): number {
    return Math.round(performance.now() - this.#startMs);
  }
}

/** Firmware colours its text. */
function printable(line: string): string {
  return (
    line
      // oxlint-disable-next-line no-control-regex
      .replace(/\u001b\[[0-9;?]*[a-zA-Z]|\u001bc/g, '')
      .replace(/[^\x20-\x7e]/g, '')
      .slice(0, MAX_LINE_LENGTH)
  );
}
