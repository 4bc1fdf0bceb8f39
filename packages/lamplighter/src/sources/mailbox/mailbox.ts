import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { jitteredMs } from '../../local/jitter.js';
import { checkRange } from '../../local/range.js';
import { NO_BASIS } from '../../wire/basis.js';
import { MAX_MAILBOX_FILE_BYTES } from '../../wire/mailbox.js';
import type { SourceReport } from '../../wire/status.js';
import { FileDoor, noAnswer } from '../process/file-door.js';
import { linkedAbort } from '../../local/linked-abort.js';
import { Sampler } from '../sampler.js';
import type { Source, SourceSink } from '../source.js';
import { SourceLife } from '../source-life.js';
import { folderFault, lookFault } from './faults.js';
import { KnownFiles } from './known-files.js';
import { type LookLimits, type LookReport, lookThrough } from './look.js';
import { OpenFolder } from './open-folder.js';

/** What a person says about a mailbox. */
export interface MailboxOptions {
  readonly name?: string;
  /** The folder's absolute path; itself no link. One guest each. */
  readonly folder: string;
  /** How often it is looked through, ms, give or take a fifth, 100..3,600,000; default 10,000. */
  readonly periodMs?: number;
  /** How long one look may take, ms, 100..600,000; default 10,000. */
  readonly lookMs?: number;
  /** Files heard in one look, 1..1,024; default 64. */
  readonly maxFiles?: number;
  /** Names read in one look, 1..65,536; default 1,024. */
  readonly maxEntries?: number;
}

const MAX_BACK_OFF_MS = 15_000;
/** What stopping waits for a share that does not answer. */
const STOP_MS = 1_000;
/** It is shown in the status, twice at times. */
const MAX_FOLDER_LENGTH = 512;
const NEVER = new AbortController().signal;

/**
 * A shared folder (NFS, 9p, virtiofs) in which others drop entropy as files, see {@link isMailboxName} for their names.
 *
 * Names, order, times and contents are heard, whoever wrote them; they earn no credit. It is polled, because network shares do
 * not tell of changes made elsewhere. A file is removed once it was heard; what has another name is never opened or removed.
 * @throws LamplighterError ERR_CONFIG when the folder's path is not absolute
 * @throws RangeError when a number is out of its range
 */
export function mailboxSource(options: MailboxOptions, environment: Environment): Source {
  return new MailboxSource(options, environment);
}

class MailboxSource implements Source {
  readonly name: string;
  readonly kind = 'mailbox';
  readonly position = 'outside';
  readonly #environment: Environment;
  readonly #folder: string;
  readonly #periodMs: number;
  readonly #lookMs: number;
  readonly #limits: LookLimits;
  readonly #known: KnownFiles;
  readonly #door = new FileDoor();
  readonly #sampler = new Sampler();
  readonly #life = new SourceLife(() => this.#sampler.close());
  #lastDigest: Buffer = Buffer.alloc(0);
  #last: LookReport | undefined;
  #looks = 0;
  #heardFiles = 0;
  #heardBytes = 0;

  constructor(options: MailboxOptions, environment: Environment) {
    const { name = 'mailbox', folder, periodMs = 10_000, lookMs = 10_000 } = options;
    const { maxFiles = 64, maxEntries = 1024 } = options;
    checkRange('periodMs', periodMs, 100, 3_600_000);
    checkRange('lookMs', lookMs, 100, 600_000);
    checkRange('maxFiles', maxFiles, 1, 1024);
    checkRange('maxEntries', maxEntries, 1, 65_536);
    this.name = name;
    this.#environment = environment;
    this.#folder = checkedFolder(folder);
    this.#periodMs = periodMs;
    this.#lookMs = lookMs;
    this.#limits = { maxFiles, maxEntries, maxFileBytes: MAX_MAILBOX_FILE_BYTES };
    this.#known = new KnownFiles(maxEntries);
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    return this.#life.begin((running) => this.#keepLooking(sink, running), signal, {
      environment: this.#environment,
      minMs: Math.min(this.#periodMs, MAX_BACK_OFF_MS),
      maxMs: Math.max(this.#periodMs, MAX_BACK_OFF_MS),
    });
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#sampler.sample(signal);
  }

  status(): SourceReport {
    const { entries = 0, foreign = 0, refused = 0, left = 0, waiting = 0 } = this.#last ?? {};
    return {
      ...this.#life.condition,
      basis: NO_BASIS,
      details: {
        folder: this.#folder,
        looks: this.#looks,
        heardFiles: this.#heardFiles,
        heardBytes: this.#heardBytes,
        entries,
        foreign,
        refused,
        left,
        waiting,
      },
    };
  }

  async stop(): Promise<void> {
    await this.#life.end();
    await this.#door.settled(this.#environment, STOP_MS);
  }

  /** Looks again and again; ends only by a fault. */
  async #keepLooking(sink: SourceSink, signal: AbortSignal): Promise<never> {
    for (;;) {
      const looking = linkedAbort(signal);
      const giveUp = (): void => looking.abort(noAnswer(this.#folder));
      const timer = this.#environment.timers.after(this.#lookMs, giveUp);
      try {
        this.#note(await this.#look(sink, looking.signal), sink);
      } finally {
        timer.cancel();
        looking.release();
      }
      await this.#environment.timers.sleep(jitteredMs(this.#environment, this.#periodMs), signal);
    }
  }

  async #look(sink: SourceSink, signal: AbortSignal): Promise<LookReport> {
    this.#looks += 1;
    const folder = await this.#open(signal);
    try {
      return await lookThrough(folder, {
        limits: this.#limits,
        known: this.#known,
        door: this.#door,
        signal,
        environment: this.#environment,
        hear: (bytes) => {
          this.#heardFiles += 1;
          this.#heardBytes += bytes.length;
          this.#hear(bytes, sink);
        },
      });
    } finally {
      // Behind whatever hangs, if anything does; nobody waits for it then.
      const closed = this.#door.run(() => folder.close(), NEVER).catch(() => undefined);
      if (!signal.aborted) await closed;
    }
  }

  async #open(signal: AbortSignal): Promise<OpenFolder> {
    try {
      return await this.#door.run(
        () => OpenFolder.open(this.#folder, this.#environment.fs),
        signal,
        (folder) => folder.close(),
      );
    } catch (error) {
      signal.throwIfAborted();
      throw folderFault(this.#folder, error);
    }
  }

  #hear(bytes: Uint8Array, sink: SourceSink): void {
    if (this.#life.isOver) return;
    const { state } = this.#life;
    if (state === 'starting' || state === 'failed') this.#life.note('ok');
    this.#sampler.hear(bytes);
    sink.hear(bytes);
  }

  #note(report: LookReport, sink: SourceSink): void {
    if (this.#life.isOver) return;
    this.#last = report;
    const digest = Buffer.from(report.digest);
    // A folder in which nothing has changed has nothing new to say.
    if (report.entries > 0 && !digest.equals(this.#lastDigest)) {
      this.#lastDigest = digest;
      this.#hear(report.digest, sink);
    }
    const reason = lookFault(report);
    if (reason !== undefined) this.#life.note('degraded', reason);
    else this.#life.note(this.#lastDigest.length === 0 ? 'starting' : 'ok');
  }
}

function checkedFolder(folder: string): string {
  // oxlint-disable-next-line no-control-regex
  if (!folder.startsWith('/') || folder.length > MAX_FOLDER_LENGTH || /[\u0000-\u001f\u007f]/.test(folder)) {
    throw new LamplighterError('ERR_CONFIG', 'the mailbox has a folder that is no plain absolute path', {
      hint: `begin it with /, at most ${MAX_FOLDER_LENGTH} characters`,
    });
  }
  // A trailing slash would make the kernel follow a link.
  return folder.replace(/(?<=.)\/+$/, '');
}
