import path from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { jitteredMs } from '../../local/jitter.js';
import { backOffMs } from '../../local/retry.js';
import type { Stream } from '../../local/stream.js';
import { checkRange } from '../../local/range.js';
import { MAX_MAILBOX_FILE_BYTES } from '../../wire/mailbox.js';
import { reasonOf } from '../../wire/reason.js';
import type { OutletReport, Reason } from '../../wire/status.js';
import { Seeded } from '../egd/seeded.js';
import type { Outlet, OutletContext } from '../outlet.js';
import { checkedFolders } from './checked-folders.js';
import { dropFile, type Dropped, type FileOwner, slotNames } from './drop-folder.js';

/** Bounds of a mailbox outlet; each may be configured. */
export const MAILBOX_LIMITS = {
  /** Of one file. */
  lengthBytes: 64,
  periodMs: 600_000,
  /** Files a folder may hold that its guest has not taken. */
  maxUnread: 4,
  /** For one drop; local disks take milliseconds. */
  deadlineMs: 10_000,
} as const;

/** Operations on dead shares hold one of libuv's four threads each: with so many, the outlet waits for one to come back. */
const MAX_HANGING = 2;
const MIN_BACK_OFF_MS = 1_000;
const MAX_BACK_OFF_MS = 60_000;

/** How a mailbox outlet is configured. */
export interface MailboxOutletOptions {
  readonly name: string;
  readonly environment: Environment;
  /** Absolute paths, one a guest: what its share (9p, virtiofs, NFS) shows it. */
  readonly folders: readonly string[];
  /** Of one file, 16..4,096. */
  readonly lengthBytes?: number;
  /** Mean time between files, ms, give or take a fifth, 100..86,400,000. */
  readonly periodMs?: number;
  /** 1..64. */
  readonly maxUnread?: number;
  /** To whom the files go; the folder's group where that may read it, unless told. */
  readonly owner?: FileOwner | undefined;
  /** For one drop, ms. */
  readonly deadlineMs?: number;
}

/** What a mailbox outlet does besides what every outlet does. */
export interface MailboxOutlet extends Outlet {
  /**
   * Drops a file now, without a name into every folder, because this host was resumed; with one into that guest's, because the
   * guest was. A full mailbox gets it in place of its oldest. Does nothing before the node is seeded.
   * @param guest - the last part of its folder's path
   * @returns into how many folders
   */
  resume(guest?: string): number;
}

/** One folder and how it is with it. */
interface Box {
  readonly guest: string;
  readonly folder: string;
  dueNs: bigint;
  force: boolean;
  unread: number;
  failuresInARow: number;
  fault: Reason | undefined;
  hangs: boolean;
}

/**
 * Drops files of fresh bytes into shared folders, for guests that have a `mailbox` source: at once when the node is seeded, by
 * timer with jitter, and at a resume.
 *
 * Source: DESIGN sections 1 and 4. One folder after the other; one that is bad, full, hostile or dead is named and tried again,
 * and the others go on. No two files ever share bytes.
 * @throws LamplighterError ERR_CONFIG for folders that are none, or named alike
 * @throws RangeError for a number out of its range
 */
export function mailboxOutlet(options: MailboxOutletOptions): MailboxOutlet {
  return new Mailbox(options);
}

class Mailbox implements MailboxOutlet {
  readonly name: string;
  readonly kind = 'mailbox';
  readonly #environment: Environment;
  readonly #boxes: readonly Box[];
  readonly #lengthBytes: number;
  readonly #periodMs: number;
  readonly #deadlineMs: number;
  readonly #slots: readonly string[];
  readonly #owner: FileOwner;
  readonly #stopping = new AbortController();
  readonly #hanging = new Set<Promise<void>>();
  #stream: Stream | undefined;
  #seeded: Seeded | undefined;
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #files = 0;
  #replaced = 0;
  #held = 0;
  #failures = 0;
  #stopped = false;

  constructor(options: MailboxOutletOptions) {
    const { lengthBytes = MAILBOX_LIMITS.lengthBytes, periodMs = MAILBOX_LIMITS.periodMs } = options;
    const { maxUnread = MAILBOX_LIMITS.maxUnread, deadlineMs = MAILBOX_LIMITS.deadlineMs } = options;
    checkRange('lengthBytes', lengthBytes, 16, MAX_MAILBOX_FILE_BYTES);
    checkRange('periodMs', periodMs, 100, 86_400_000);
    checkRange('maxUnread', maxUnread, 1, 64);
    checkRange('deadlineMs', deadlineMs, 100, 600_000);
    this.name = options.name;
    this.#environment = options.environment;
    this.#lengthBytes = lengthBytes;
    this.#periodMs = periodMs;
    this.#deadlineMs = deadlineMs;
    this.#slots = slotNames(maxUnread);
    this.#owner = options.owner ?? {};
    this.#boxes = checkedFolders(options.folders).map((folder) => ({
      guest: path.basename(folder),
      folder,
      dueNs: 0n,
      force: false,
      unread: 0,
      failuresInARow: 0,
      fault: undefined,
      hangs: false,
    }));
  }

  start(context: OutletContext, signal: AbortSignal): Promise<void> {
    this.#stream = context.stream('mailbox');
    this.#seeded = new Seeded(context.ready());
    signal.addEventListener('abort', () => void this.stop(0), { once: true, signal: this.#stopping.signal });
    if (signal.aborted) return this.stop(0);
    this.#running = this.#run(this.#stream, this.#seeded);
    return Promise.resolve();
  }

  resume(guest?: string): number {
    if (this.#seeded?.now !== true) return 0;
    const due = this.#boxes.filter((box) => guest === undefined || box.guest === guest);
    for (const box of due) {
      box.dueNs = 0n;
      box.force = true;
    }
    this.#wake?.();
    return due.length;
  }

  status(): OutletReport {
    const faulty = this.#boxes.filter(({ fault }) => fault !== undefined);
    const reason = faulty[0]?.fault;
    return {
      state: this.#state(faulty.length),
      ...(reason !== undefined && !this.#stopped && { reason }),
      bytes: this.#files * this.#lengthBytes,
      details: {
        folders: this.#boxes.length,
        faultyFolders: faulty.length,
        hangingFolders: this.#hanging.size,
        files: this.#files,
        replaced: this.#replaced,
        heldBack: this.#held,
        unread: this.#boxes.reduce((sum, { unread }) => sum + unread, 0),
        failures: this.#failures,
        lengthBytes: this.#lengthBytes,
        periodMs: this.#periodMs,
        creditBits: 0,
      },
    };
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    this.#stopping.abort();
    this.#seeded?.fail(new LamplighterError('ERR_STOPPED', 'the outlet is stopped'));
    this.#wake?.();
    let late: { cancel(): void } | undefined;
    const tired = new Promise<void>((resolve) => {
      late = this.#environment.timers.after(deadlineMs, resolve);
    });
    await Promise.race([this.#running, tired]);
    late?.cancel();
    this.#stream?.close();
  }

  #state(faulty: number): OutletReport['state'] {
    if (this.#stopped) return 'stopped';
    if (this.#seeded?.now !== true) return 'waiting';
    return faulty === this.#boxes.length ? 'failed' : 'ok';
  }

  async #run(stream: Stream, seeded: Seeded): Promise<void> {
    const { signal } = this.#stopping;
    try {
      await seeded.wait(signal);
    } catch {
      return;
    }
    while (!signal.aborted) {
      const [next] = this.#boxes.filter(({ hangs }) => !hangs).sort((a, b) => (a.dueNs < b.dueNs ? -1 : 1));
      if (this.#hanging.size >= MAX_HANGING || next === undefined) await this.#rest(undefined);
      else if (next.dueNs > this.#environment.monotonicNs()) await this.#rest(next.dueNs);
      else await this.#visit(next, stream);
    }
  }

  /** One drop, and when the next one is due. Never rejects, and takes no longer than the deadline. */
  async #visit(box: Box, stream: Stream): Promise<void> {
    const { force } = box;
    box.force = false;
    const drop = this.#drop(box, stream, force).then(
      (dropped) => this.#note(box, dropped),
      (error: unknown) => this.#fail(box, error),
    );
    let late: { cancel(): void } | undefined;
    const tired = new Promise<'tired'>((resolve) => {
      late = this.#environment.timers.after(this.#deadlineMs, () => resolve('tired'));
    });
    const outcome = await Promise.race([drop, tired]);
    late?.cancel();
    if (outcome !== 'tired') return;
    const message = `the mailbox ${box.folder} does not answer`;
    const hint = 'if it is on a network share, see whether its server is there';
    this.#fail(box, new LamplighterError('ERR_DEADLINE', message, { hint }));
    box.hangs = true;
    const back = drop.finally(() => {
      box.hangs = false;
      this.#hanging.delete(back);
      this.#wake?.();
    });
    this.#hanging.add(back);
  }

  async #drop(box: Box, stream: Stream, force: boolean): Promise<Dropped> {
    const bytes = stream.read(this.#lengthBytes);
    try {
      const options = { slots: this.#slots, force, owner: this.#owner };
      return await dropFile(box.folder, bytes, options, this.#environment.fs);
    } finally {
      bytes.fill(0);
    }
  }

  #note(box: Box, { outcome, unread }: Dropped): void {
    box.unread = unread;
    box.fault = undefined;
    box.failuresInARow = 0;
    if (outcome === 'full') this.#held += 1;
    else this.#files += 1;
    if (outcome === 'replaced') this.#replaced += 1;
    this.#nextIn(box, jitteredMs(this.#environment, this.#periodMs));
  }

  #fail(box: Box, error: unknown): void {
    this.#failures += 1;
    box.failuresInARow += 1;
    box.fault = reasonOf(error);
    const limits = { minMs: MIN_BACK_OFF_MS, maxMs: MAX_BACK_OFF_MS };
    this.#nextIn(box, Math.min(this.#periodMs, backOffMs(this.#environment, box.failuresInARow, limits)));
  }

  #nextIn(box: Box, delayMs: number): void {
    // A resume while it was being dropped: another one is due at once.
    if (!box.force) box.dueNs = this.#environment.monotonicNs() + BigInt(Math.ceil(delayMs * 1e6));
  }

  async #rest(dueNs: bigint | undefined): Promise<void> {
    let timer: { cancel(): void } | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (dueNs === undefined) return;
      const delayMs = Number(dueNs - this.#environment.monotonicNs()) / 1e6;
      timer = this.#environment.timers.after(Math.ceil(Math.max(0, delayMs)), resolve);
    });
    this.#wake = undefined;
    timer?.cancel();
  }
}
