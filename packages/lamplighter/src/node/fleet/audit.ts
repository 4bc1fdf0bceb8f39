import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import type { NativeDoors } from '../../local/native-doors.js';
import type { BeaconRecord } from '../../outlets/beacon.js';
import { type Basis, basisToByte, basisToWords } from '../../wire/basis.js';
import type { AuditStatus } from '../../wire/fleet-status.js';
import { reasonOf } from '../../wire/reason.js';
import type { Reason } from '../../wire/status.js';
import { AuditFile } from './audit-file.js';

/** Which process writes: the first line of each file. */
export interface AuditOrigin {
  readonly software: string;
  readonly node: string;
  readonly start: bigint;
  /** 16 random bytes of this start; not secret. */
  readonly instanceId: Uint8Array;
}

// Implementation constants.
const DEFAULT_MAX_BYTES = 64 * 1_048_576;
const DEFAULT_FILES = 8;
const WRITE_EVERY_MS = 200;
const BLOCK_BYTES = 65_536;
/** 8 MiB hold 40,000 records: most of a second at a node's best rate. */
const MAX_BLOCKS = 128;
/** One line; with a serial number of 20 octets (RFC 5280, 4.1.2.2) the longest has some 260 bytes. */
const MAX_LINE_BYTES = 1_024;
/** Full blocks that are kept for their next use. */
const MAX_SPARE = 2;
const OPEN_DEADLINE_MS = 1_000;
const STOP_DEADLINE_MS = 1_000;

/**
 * An append-only record, one JSON object a line, of who was given a beacon when. Nobody waits for it: lines are gathered in
 * memory and written five times a second or when 64 KiB are full. When the disk cannot take them, new ones are dropped, counted and
 * named, and `{"lost":N}` marks the gap.
 */
export class AuditLog {
  readonly #environment: Environment;
  readonly #file: AuditFile;
  readonly #timer: { cancel(): void };
  /** Blocks to be written, the oldest first. */
  readonly #waiting: Block[] = [];
  #filling: Block = newBlock();
  readonly #spare: Block[] = [];
  #writing: Promise<void> | undefined;
  #isStopped = false;
  #records = 0;
  #lost = 0;
  /** Of the lost ones, those that no line tells of yet. */
  #gap = 0;
  #reason: Reason | undefined;
  #second = { number: -1n, text: '' };
  readonly #basisTexts: string[] = [];

  /**
   * @param options - `path`: the file written now; the older ones have `.1`, `.2` … after its name; `maxBytes`: of one file;
   *   `files`: how many, 1..1,000
   */
  constructor(options: {
    readonly path: string;
    readonly maxBytes?: number;
    readonly files?: number;
    readonly origin: AuditOrigin;
    readonly environment: Environment;
    readonly native: Pick<NativeDoors, 'lockFile'>;
  }) {
    const { path, maxBytes = DEFAULT_MAX_BYTES, files = DEFAULT_FILES, environment, native } = options;
    if (!(Number.isInteger(maxBytes) && maxBytes >= 2 * BLOCK_BYTES)) {
      throw new RangeError(`an audit file is at least ${2 * BLOCK_BYTES} bytes`);
    }
    if (!(Number.isInteger(files) && files >= 1 && files <= 1_000)) throw new RangeError('1 to 1,000 files');
    this.#environment = environment;
    const firstLine = (): Uint8Array => Buffer.from(this.#startLine(options.origin));
    this.#file = new AuditFile({ path, maxBytes, files, firstLine }, { environment, native });
    this.#timer = environment.timers.every(WRITE_EVERY_MS, () => {
      this.#offer();
      void this.#write();
    });
  }

  /**
   * Opens the file and writes its first line. A fault is in the status and is tried again; neither it nor a disk that does not
   * answer keeps a node from serving.
   */
  open(): Promise<void> {
    return this.#within(OPEN_DEADLINE_MS, this.#write());
  }

  /** Notes one beacon. Synchronous; costs about a microsecond and no wait, whatever the disk does. */
  record(record: BeaconRecord): void {
    if (this.#isStopped || !this.#tellGap() || !this.#append(this.#lineOf(record), 1)) {
      this.#lost += 1;
      this.#gap += 1;
    }
  }

  status(): AuditStatus {
    return {
      file: this.#file.path,
      records: this.#records,
      lost: this.#lost,
      ...(this.#reason && { reason: this.#reason }),
    };
  }

  /**
   * Writes what is left, if the disk takes it in time, and lets the file go. What it does not take, and what comes later, is
   * lost, and counted.
   */
  async stop(deadlineMs: number = STOP_DEADLINE_MS): Promise<void> {
    if (this.#isStopped) return;
    this.#timer.cancel();
    this.#tellGap();
    this.#isStopped = true;
    await this.#within(deadlineMs, this.#drain());
    for (const block of [...this.#waiting, this.#filling]) this.#lost += block.records;
  }

  async #drain(): Promise<void> {
    await this.#writing;
    this.#offer();
    await this.#write();
    await this.#file.close();
  }

  /** Waits for something, but no longer than that. */
  async #within(deadlineMs: number, work: Promise<void>): Promise<void> {
    let timer: { cancel(): void } | undefined;
    const late = new Promise<void>((resolve) => {
      timer = this.#environment.timers.after(deadlineMs, resolve);
    });
    await Promise.race([work, late]);
    timer?.cancel();
  }

  /** @returns whether no gap is left untold */
  #tellGap(): boolean {
    if (this.#gap > 0 && this.#append(`{"lost":${this.#gap}}\n`, 0)) this.#gap = 0;
    return this.#gap === 0;
  }

  #append(line: string, records: number): boolean {
    if (line.length > MAX_LINE_BYTES) return false;
    const block = this.#room();
    if (block === undefined) return false;
    // Nothing but ASCII gets here: roles, names, serials and numbers.
    block.lengthBytes += block.bytes.write(line, block.lengthBytes, 'latin1');
    block.records += records;
    return true;
  }

  /** The block that takes the next line; undefined when the queue is full. */
  #room(): Block | undefined {
    if (this.#filling.lengthBytes + MAX_LINE_BYTES <= BLOCK_BYTES) return this.#filling;
    if (this.#waiting.length >= MAX_BLOCKS) return undefined;
    this.#fillAnother();
    void this.#write();
    return this.#filling;
  }

  /** A block that is not full is written when nothing waits before it: the queue holds full ones, however long the disk takes. */
  #offer(): void {
    if (this.#waiting.length === 0 && this.#filling.lengthBytes > 0) this.#fillAnother();
  }

  #fillAnother(): void {
    this.#waiting.push(this.#filling);
    this.#filling = this.#spare.pop() ?? newBlock();
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writeWaiting().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  /** Block by block, the oldest first; the first that cannot be written stays, with all behind it. */
  async #writeWaiting(): Promise<void> {
    try {
      await this.#file.open();
      for (let [block] = this.#waiting; block !== undefined; [block] = this.#waiting) {
        await this.#file.append(block.bytes.subarray(0, block.lengthBytes));
        this.#records += block.records;
        this.#waiting.shift();
        block.lengthBytes = 0;
        block.records = 0;
        if (this.#spare.length < MAX_SPARE) this.#spare.push(block);
      }
      this.#reason = undefined;
    } catch (error) {
      this.#reason = reasonOf(auditError(error, this.#file.path));
    }
  }

  #lineOf({ atNs, peer: { role, name, serial }, start, counter, basis }: BeaconRecord): string {
    return `{"at":"${this.#timeText(atNs)}","role":"${role}","name":"${name}","serial":"${serial}","start":"${start}","counter":"${counter}","basis":"${this.#basisText(basis)}"}\n`;
  }

  #startLine({ software, node, start, instanceId }: AuditOrigin): string {
    const at = this.#timeText(this.#environment.realtimeNs());
    const instance = Buffer.from(instanceId).toString('hex');
    return `${JSON.stringify({ at, software, node, start: String(start), instance })}\n`;
  }

  /** ISO 8601 with nanoseconds; the seconds are made into text once each. */
  #timeText(atNs: bigint): string {
    const second = atNs / 1_000_000_000n;
    if (second !== this.#second.number) {
      this.#second = { number: second, text: new Date(Number(second) * 1_000).toISOString().slice(0, 19) };
    }
    return `${this.#second.text}.${String(atNs % 1_000_000_000n).padStart(9, '0')}Z`;
  }

  #basisText(basis: Basis): string {
    return (this.#basisTexts[basisToByte(basis)] ??= basisToWords(basis).join(', '));
  }
}

/** Whole lines that are written together. */
interface Block {
  readonly bytes: Buffer;
  lengthBytes: number;
  records: number;
}

function newBlock(): Block {
  return { bytes: Buffer.alloc(BLOCK_BYTES), lengthBytes: 0, records: 0 };
}

function auditError(cause: unknown, path: string): LamplighterError {
  if (cause instanceof LamplighterError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unexpected error';
  return new LamplighterError('ERR_AUDIT_FILE', `the audit record ${path} cannot be written (${code})`, {
    hint: 'make room on its disk, and let the user that runs this write there; beacons are served meanwhile',
    cause,
  });
}
