import { constants } from 'node:fs';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import type { Stream } from '../local/stream.js';
import { reasonOf } from '../wire/reason.js';
import type { OutletReport, Reason } from '../wire/status.js';
import type { Outlet, OutletContext } from './outlet.js';

/** What one write hands over: the size of a beacon. */
const WRITE_LENGTH_BYTES = 64;
/** Linux: /dev/random is device 1:8 and /dev/urandom 1:9, as `st_rdev` holds them. A write to either does the same. */
const KERNEL_RNG_DEVICES: readonly number[] = [0x0108, 0x0109];

/** What was really done to the kernel's RNG, and never more than that (DESIGN section 9). */
export interface KernelWrite {
  readonly device: string;
  /** Mixed in; takes effect at the kernel's next reseed, up to a minute later. */
  readonly bytesWritten: number;
  /** write(2) credits nothing. */
  readonly creditedBits: 0;
  /** write(2) rekeys nothing. */
  readonly reseeded: false;
}

/**
 * Mixes bytes into the kernel's RNG by write(2): nothing is credited, and they count from the kernel's next reseed on.
 *
 * Never waits for POLLOUT, which on Linux ≥ 5.18 does not come once the kernel's RNG is full.
 * @param device - `/dev/random` or `/dev/urandom`; not a link, a file, a pipe or any other device
 * @param bytes - length ≥ 1; the caller keeps and wipes them
 * @returns what was done: all of `bytes` written
 * @throws LamplighterError ERR_KERNEL_WRITE when it is another thing than the kernel's RNG (nothing was written), or
 *   when a write failed (the message says after how many bytes)
 * @throws RangeError when there is nothing to write
 */
export async function writeToKernel(
  environment: Environment,
  device: string,
  bytes: Uint8Array,
): Promise<KernelWrite> {
  if (bytes.length === 0) throw new RangeError('nothing to write');
  // O_NONBLOCK keeps a FIFO without a reader from holding a libuv thread, O_NOFOLLOW a link from naming another file.
  const flags = constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
  const handle = await environment.fs
    .open(device, flags)
    .catch((cause: unknown) => refuse(`${device} cannot be opened for writing`, cause));
  try {
    refuseUnlessKernelRng(device, await handle.stat());
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await handle
        .write(bytes, written, bytes.length - written, null)
        .catch((cause: unknown) =>
          refuse(`writing to ${device} failed after ${written} of ${bytes.length} bytes`, cause),
        );
      if (bytesWritten === 0) refuse(`${device} took only ${written} of ${bytes.length} bytes`);
      written += bytesWritten;
    }
    return { device, bytesWritten: written, creditedBits: 0, reseeded: false };
  } finally {
    await handle.close();
  }
}

function refuseUnlessKernelRng(device: string, stat: { isCharacterDevice(): boolean; rdev: number }): void {
  if (!stat.isCharacterDevice()) refuse(`${device} is not a character device`);
  if (process.platform !== 'linux') return;
  // A write to /dev/null would succeed too, and be reported as a kernel that was given entropy.
  if (!KERNEL_RNG_DEVICES.includes(stat.rdev))
    refuse(`${device} is not the kernel's random number generator`);
}

function refuse(message: string, cause?: unknown): never {
  throw new LamplighterError('ERR_KERNEL_WRITE', message, { hint: 'use /dev/random', cause });
}

/**
 * Writes 64 bytes of its own stream to the kernel's RNG: at once when the node is seeded, then by timer with jitter.
 *
 * Source: DESIGN section 9. A write that fails is shown and tried again at the next turn of the timer.
 * @param options - `device`: see {@link writeToKernel}; `periodMs`: mean time between writes, 300,000 unless told
 */
export function kernelOutlet(options: {
  readonly name: string;
  readonly environment: Environment;
  readonly device?: string;
  readonly periodMs?: number;
}): Outlet {
  return new KernelOutlet(options);
}

class KernelOutlet implements Outlet {
  readonly name: string;
  readonly kind = 'kernel';
  readonly #environment: Environment;
  readonly #device: string;
  readonly #periodMs: number;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #stream: Stream | undefined;
  #state: OutletReport['state'] = 'waiting';
  #reason: Reason | undefined;
  #bytes = 0;
  #writes = 0;
  #failures = 0;

  constructor(options: Parameters<typeof kernelOutlet>[0]) {
    this.name = options.name;
    this.#environment = options.environment;
    this.#device = options.device ?? '/dev/random';
    this.#periodMs = options.periodMs ?? 300_000;
  }

  start(context: OutletContext, signal: AbortSignal): Promise<void> {
    this.#stream = context.stream('kernel');
    signal.addEventListener('abort', () => this.#stopping.abort(), {
      once: true,
      signal: this.#stopping.signal,
    });
    if (signal.aborted) this.#stopping.abort();
    this.#running = this.#run(context, this.#stream);
    return Promise.resolve();
  }

  status(): OutletReport {
    return {
      state: this.#state,
      ...(this.#reason && { reason: this.#reason }),
      bytes: this.#bytes,
      details: {
        device: this.#device,
        writes: this.#writes,
        failures: this.#failures,
        creditedBits: 0,
        reseeded: false,
        effect: "mixed, effective at the kernel's next reseed, up to a minute later",
      },
    };
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping.abort();
    if (this.#running !== undefined) await within(this.#environment, deadlineMs, this.#running);
    this.#stream?.close();
    this.#state = 'stopped';
  }

  async #run(context: OutletContext, stream: Stream): Promise<void> {
    const { signal } = this.#stopping;
    if (!(await readyUnlessStopped(context, signal))) return;
    while (!signal.aborted) {
      await this.#write(stream);
      await this.#environment.timers
        .sleep(jitteredMs(this.#environment, this.#periodMs), signal)
        .catch(() => undefined);
    }
  }

  async #write(stream: Stream): Promise<void> {
    let bytes: Uint8Array | undefined;
    try {
      bytes = stream.read(WRITE_LENGTH_BYTES);
      const { bytesWritten } = await writeToKernel(this.#environment, this.#device, bytes);
      this.#bytes += bytesWritten;
      this.#writes += 1;
      this.#state = 'ok';
      this.#reason = undefined;
    } catch (error) {
      this.#failures += 1;
      this.#state = 'failed';
      this.#reason = reasonOf(error);
    } finally {
      bytes?.fill(0);
    }
  }
}

/** Whether the node became ready before the outlet was stopped. */
async function readyUnlessStopped(context: OutletContext, signal: AbortSignal): Promise<boolean> {
  const stopped = new Promise<false>((resolve) => {
    if (signal.aborted) resolve(false);
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });
  const ready = context.ready().then(
    () => true,
    () => false,
  );
  return Promise.race([ready, stopped]);
}

async function within(environment: Environment, deadlineMs: number, work: Promise<void>): Promise<void> {
  const done = new AbortController();
  await Promise.race([work, environment.timers.sleep(deadlineMs, done.signal).catch(() => undefined)]);
  done.abort();
}
