import { constants } from 'node:fs';
import type { Environment } from './environment.js';

/** What told that this machine was restored from a snapshot, cloned or put aside. */
export type RestoreSign = 'kernel-fork' | 'hardware-clock';

/** What a watch can see here; the reason where it cannot. */
export interface RestoreWatchStatus {
  readonly sign: RestoreSign;
  readonly supported: boolean;
  readonly reason?: string;
}

export interface RestoreWatchOptions {
  readonly environment: Environment;
  readonly onSign: (sign: RestoreSign) => void;
}

// Implementation constants.
const LOOK_EVERY_MS = 1_000;
/** The hardware clock has seconds: two looks may be wrong by one each. */
const CLOCK_SLACK_NS = 2_000_000_000n;
/** NTP may make a clock run so much faster or slower, and then some: 1/1000 is twice what Linux allows. */
const CLOCK_DRIFT_DIVISOR = 1_000n;
const HARDWARE_CLOCK = '/sys/class/rtc/rtc0/since_epoch';
const KERNEL_LOG = '/dev/kmsg';
/** Linux, kernel/printk: the longest record there is. */
const RECORD_BYTES = 8_192;
/** A log is some thousand records; one that never ends is none. */
const MAX_RECORDS = 65_536;
/**
 * Linux, drivers/char/random.c, add_vmfork_randomness, since 5.18. In front: priority and facility, of which 0 is the kernel
 * and cannot be had by who writes to the log; sequence number; time.
 */
const FORK = /^[0-7],\d+,\d+,[^;]*;random: crng reseeded due to virtual machine fork$/m;

/**
 * Looks once a second for what a guest can see of its being restored, where no VM clock tells.
 *
 * - `kernel-fork`: the kernel was told by the hypervisor's VM generation (vmgenid), has reseeded its own RNG, and says so in
 *   its log and, before Linux 6.10, nowhere else. Needs the right to read the log.
 * - `hardware-clock`: the machine's battery clock, which QEMU, VMware, Xen and Hyper-V let go on while a guest's state lies on
 *   a disk, has left the monotonic clock by two seconds or more. Tells of every restore but the youngest, and also of a guest
 *   that was paused. Whoever sets the hardware clock makes it say so once for nothing.
 *
 * A sign is late by up to a second: it is for programs that are asked nothing meanwhile, or have nothing better.
 */
export class RestoreWatch {
  readonly #environment: Environment;
  readonly #onSign: RestoreWatchOptions['onSign'];
  readonly #stopping = new AbortController();
  readonly #unseen = new Map<RestoreSign, string>();
  #running: Promise<void> | undefined;
  #clocks: { readonly hardwareNs: bigint; readonly monotonicNs: bigint } | undefined;

  constructor({ environment, onSign }: RestoreWatchOptions) {
    this.#environment = environment;
    this.#onSign = onSign;
  }

  /** Begins to look. @returns when what is seen now has been taken for normal */
  async start(): Promise<void> {
    const log = await this.#openLog();
    await this.#hasClockParted();
    this.#running = this.#watch(log);
  }

  /** What can be seen on this machine. */
  status(): readonly RestoreWatchStatus[] {
    return (['kernel-fork', 'hardware-clock'] as const).map((sign) => {
      const reason = this.#unseen.get(sign);
      return { sign, supported: reason === undefined, ...(reason !== undefined && { reason }) };
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #watch(log: KernelLog | undefined): Promise<void> {
    const { timers } = this.#environment;
    const { signal } = this.#stopping;
    try {
      for (;;) {
        await timers.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
        if (signal.aborted) return;
        const saysFork = log !== undefined && (await this.#hasForked(log));
        const hasParted = await this.#hasClockParted();
        if (signal.aborted) return;
        // One restore, one sign: the surer one.
        if (saysFork) this.#onSign('kernel-fork');
        else if (hasParted) this.#onSign('hardware-clock');
      }
    } finally {
      await log?.close();
    }
  }

  /** Reads what has come in the log since the last time. */
  async #hasForked(log: KernelLog): Promise<boolean> {
    let hasForked = false;
    const record = Buffer.alloc(RECORD_BYTES);
    for (let records = 0; records < MAX_RECORDS; records += 1) {
      try {
        const { bytesRead } = await log.read(record, 0, RECORD_BYTES, null);
        if (bytesRead === 0) return hasForked;
        hasForked ||= FORK.test(record.toString('latin1', 0, bytesRead));
      } catch (error) {
        const code = codeOf(error);
        if (code === 'EAGAIN') return hasForked;
        // EPIPE: what came next was overwritten before it was read; the next read goes on behind it.
        if (code === 'EPIPE') continue;
        this.#unseen.set('kernel-fork', `${KERNEL_LOG} cannot be read: ${code}`);
        return hasForked;
      }
    }
    return hasForked;
  }

  async #openLog(): Promise<KernelLog | undefined> {
    try {
      const { fs } = this.#environment;
      const log = await fs.open(KERNEL_LOG, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
      if ((await log.stat()).isCharacterDevice()) {
        // What was said before this program looked.
        await this.#hasForked(log);
        return log;
      }
      await log.close();
      this.#unseen.set('kernel-fork', `${KERNEL_LOG} is no device`);
    } catch (error) {
      this.#unseen.set('kernel-fork', `${KERNEL_LOG} cannot be opened: ${codeOf(error)}`);
    }
    return undefined;
  }

  /** Compares with the last look, not with the first: over days NTP parts the clocks by itself. */
  async #hasClockParted(): Promise<boolean> {
    const { fs } = this.#environment;
    const text = await fs.readFile(HARDWARE_CLOCK, 'latin1').catch((error: unknown) => {
      this.#unseen.set('hardware-clock', `${HARDWARE_CLOCK} cannot be read: ${codeOf(error)}`);
      return '';
    });
    if (!/^\d{1,12}\n?$/.test(text)) return false;
    this.#unseen.delete('hardware-clock');
    const now = {
      hardwareNs: BigInt(text.trim()) * 1_000_000_000n,
      monotonicNs: this.#environment.monotonicNs(),
    };
    const last = this.#clocks ?? now;
    this.#clocks = now;
    const passedNs = now.monotonicNs - last.monotonicNs;
    const apartNs = now.hardwareNs - last.hardwareNs - passedNs;
    const slackNs = CLOCK_SLACK_NS + passedNs / CLOCK_DRIFT_DIVISOR;
    return apartNs > slackNs || apartNs < -slackNs;
  }
}

type KernelLog = Awaited<ReturnType<Environment['fs']['open']>>;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
