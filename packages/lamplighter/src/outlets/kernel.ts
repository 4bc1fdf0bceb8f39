import type { Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { handToKernel, inWords, type KernelOptions, type KernelReport } from '../local/kernel-rng.js';
import { type NativeDoors, systemNative } from '../local/native-doors.js';
import type { Stream } from '../local/stream.js';
import { reasonOf } from '../wire/reason.js';
import type { OutletReport, Reason } from '../wire/status.js';
import type { Outlet, OutletContext } from './outlet.js';
import { readyUnlessStopped } from './serving.js';

/** What one write hands over: the size of a beacon. */
const WRITE_LENGTH_BYTES = 64;
/**
 * Hands 64 bytes of its own stream to the kernel's RNG: at once when the node is seeded, then by timer with jitter.
 *
 * Source: DESIGN section 9. What fails is shown and tried again at the next turn of the timer.
 * @param options - `device`, `creditBits`: see {@link handToKernel}, 0 bits unless told; `periodMs`: mean time between
 *   hand-overs, 300,000 unless told; `native`: the real addon unless told
 */
export function kernelOutlet(options: {
  readonly name: string;
  readonly environment: Environment;
  readonly native?: NativeDoors;
  readonly device?: string;
  readonly creditBits?: number;
  readonly periodMs?: number;
}): Outlet {
  return new KernelOutlet(options);
}

class KernelOutlet implements Outlet {
  readonly name: string;
  readonly kind = 'kernel';
  readonly #environment: Environment;
  readonly #native: NativeDoors;
  readonly #kernel: KernelOptions;
  readonly #periodMs: number;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #stream: Stream | undefined;
  #state: OutletReport['state'] = 'waiting';
  #reason: Reason | undefined;
  #bytes = 0;
  #writes = 0;
  #failures = 0;
  #last: KernelReport | undefined;

  constructor(options: Parameters<typeof kernelOutlet>[0]) {
    this.name = options.name;
    this.#environment = options.environment;
    this.#native = options.native ?? systemNative;
    this.#kernel = { device: options.device ?? '/dev/random', creditBits: options.creditBits ?? 0 };
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
        device: this.#kernel.device,
        writes: this.#writes,
        failures: this.#failures,
        ...(this.#last && {
          call: this.#last.call,
          creditedBits: this.#last.creditedBits,
          reseeded: this.#last.reseeded,
          effect: inWords(this.#last),
        }),
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
      this.#last = await handToKernel(this.#kernel, bytes, {
        environment: this.#environment,
        native: this.#native,
      });
      this.#bytes += this.#last.bytesWritten;
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

async function within(environment: Environment, deadlineMs: number, work: Promise<void>): Promise<void> {
  const done = new AbortController();
  await Promise.race([work, environment.timers.sleep(deadlineMs, done.signal).catch(() => undefined)]);
  done.abort();
}
