import { Accumulator, type ErrorCode, LamplighterError, wipe } from '@lamplighter/core';
import { CloneWatch } from '../local/clone-watch.js';
import { monotonicMs } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { backOffMs } from '../local/retry.js';
import type { ResumeStatus } from '../local/resume.js';
import { OutgoingConnections } from '../wire/outgoing.js';
import { openStream } from '../local/stream.js';
import { egdOutlet, FOLDER_MODES } from '../outlets/egd/egd.js';
import type { Outlet } from '../outlets/outlet.js';
import { basisFromWords, NO_BASIS } from '../wire/basis.js';
import { boot, type BootDoors, type BootReport } from './boot.js';
import type { AgentConfig } from './config.js';
import type { RenewalReport } from './renewal.js';
import { HostLine } from './host-line.js';
import { RenewalLoop } from './renewal-loop.js';
import { writeReport } from './report-file.js';

/** What the agent's root knows its inputs by. */
const SOURCE = { host: 253, resume: 254, client: 255 } as const;
const STOP_DEADLINE_MS = 1_500;
/** The longest wait for a relay that asks to be left alone: whatever it says, it is asked again some time. */
const MAX_RETRY_AFTER_MS = 3_600_000;
const MIN_BACK_OFF_MS = 2_000;
/** The longest back-off from a relay that may only be busy: of a boot storm the last waited minutes for one that was idle. */
const MAX_BUSY_BACK_OFF_MS = 30_000;
/** How a relay looks that has too much to do: it says so, resets the connection, or does not answer in time. */
const BUSY: ReadonlySet<ErrorCode> = new Set([
  'ERR_UPSTREAM_NOT_READY',
  'ERR_UPSTREAM_UNREACHABLE',
  'ERR_DEADLINE',
]);
/** How often a clock that cannot be right is looked at again: NTP sets it within the first minute of a boot. */
const CLOCK_LOOK_MS = 5_000;

export interface AgentOptions extends Omit<BootDoors, 'outgoing'> {
  readonly requireHedge: boolean;
  /** Hears of every boot and refresh. */
  readonly onReport: (report: BootReport) => void;
  /** Hears of every renewal of the certificate, and of every one that failed. */
  readonly onRenewal?: (report: RenewalReport) => void;
  /** Hears of everything that went wrong beside them. */
  readonly onFault: (error: unknown) => void;
  readonly onResume: (status: ResumeStatus) => void;
}

/**
 * The agent that stays: boots, refreshes by timer, and starts over at once when its machine was cloned, restored or asleep.
 *
 * Source: DESIGN 6.4, 7 and 9.
 */
export class Agent {
  readonly #config: AgentConfig;
  readonly #options: AgentOptions;
  readonly #outgoing: OutgoingConnections;
  readonly #accumulator: Accumulator;
  readonly #clones: CloneWatch;
  readonly #stopping = new AbortController();
  /** Ends the wait before the next refresh. */
  #waking = new AbortController();
  /** The first boot, and the refreshes after it. */
  #running: Promise<unknown> | undefined;
  /** The boot or refresh that is under way, or was the last one. */
  #booting: Promise<unknown> = Promise.resolve();
  readonly #renewals: RenewalLoop;
  #stopped: Promise<void> | undefined;
  #failures = 0;
  #last: BootReport | undefined;
  #lastAt = '';
  #writing: Promise<void> = Promise.resolve();
  readonly #socket: Outlet | undefined;
  readonly #host: HostLine | undefined;
  #settleReady: { resolve(): void; reject(error: unknown): void } = { resolve() {}, reject() {} };
  readonly #ready: Promise<void>;

  constructor(config: AgentConfig, options: AgentOptions) {
    const { environment, native, process } = options;
    this.#config = config;
    this.#options = options;
    this.#outgoing = new OutgoingConnections(environment, () => this.#clones.look());
    this.#accumulator = new Accumulator({
      schedule: 'improved',
      monotonicMs: () => monotonicMs(environment),
    });
    this.#clones = new CloneWatch({
      accumulator: this.#accumulator,
      environment,
      process,
      native,
      hear: (bytes) => this.#accumulator.add(SOURCE.resume, bytes),
      cut: () => this.#outgoing.cut(),
      // One refresh is both: it begins with the next use of the seed.
      rotateSeed: () => this.#waking.abort(),
      fetchBeacons: () => this.#waking.abort(),
      onResume: options.onResume,
    });
    this.#renewals = new RenewalLoop(config, {
      ...options,
      outgoing: this.#outgoing,
      refreshed: () => this.#booting,
      mayAsk: () => this.#last?.seeded === true && this.#last.clock === undefined,
      onRenewal: async (renewal) => {
        await this.#writeReport();
        options.onRenewal?.(renewal);
      },
    });
    const { socket, host } = config;
    this.#host =
      host &&
      new HostLine({
        ...host,
        environment,
        hear: (bytes) => this.#accumulator.add(SOURCE.host, bytes),
        onBurst: (bytes) => this.#hearBurst(bytes),
      });
    this.#socket =
      socket &&
      egdOutlet({
        ...socket,
        name: 'egd',
        listen: `unix:${socket.path}`,
        folderMode: FOLDER_MODES[socket.folderMode],
        environment,
      });
    this.#ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.#ready.catch(() => undefined);
  }

  /**
   * Boots, and then goes on by itself.
   * @returns what the first boot did
   * @throws LamplighterError as {@link boot}; nothing goes on then
   */
  async start(): Promise<BootReport> {
    // First of all, so that programs that start meanwhile find somebody: what they ask waits for the first boot.
    await this.#socket?.start(
      {
        stream: (label) => openStream(this.#clones.root, this.#options.environment, label),
        readiness: () => ({
          state: this.#accumulator.seeded ? 'ready' : 'starting',
          basis: this.#last === undefined ? NO_BASIS : basisFromWords(this.#last.basis),
        }),
        ready: () => this.#ready,
        hear: (bytes) => this.#accumulator.add(SOURCE.client, bytes),
      },
      this.#stopping.signal,
    );
    try {
      const booting = this.#bootOnce(true);
      this.#running = booting.catch(() => undefined);
      const first = await booting;
      this.#settleReady.resolve();
      this.#clones.start();
      await this.#host?.start(this.#stopping.signal);
      this.#running = this.#refreshFrom(first);
      this.#renewals.start();
      return first;
    } catch (error) {
      this.#settleReady.reject(error);
      await this.#socket?.stop(0);
      throw error;
    }
  }

  /** Somebody says that this machine was cloned, restored or asleep: the five steps, now. */
  resume(): void {
    this.#clones.resume();
  }

  /** The host says that this machine was restored, and gives what no other copy has: into the root before anything is asked. */
  #hearBurst(bytes: Uint8Array): void {
    this.#accumulator.reseedDirect('resume', [{ label: 'process/host', bytes }]);
    this.#clones.resume('host');
  }

  /** Ends the wait or the refresh under way; resolves when everything is let go. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const unwatched = this.#clones.stop();
    await this.#host?.stop();
    await this.#socket?.stop(STOP_DEADLINE_MS);
    this.#stopping.abort();
    this.#settleReady.reject(new LamplighterError('ERR_STOPPED', 'the agent is stopping'));
    await Promise.all([this.#running, this.#renewals.stop(), unwatched]);
    if (this.#accumulator.seeded) await this.#options.keeper.foldRoot(this.#accumulator);
    this.#accumulator.destroy();
  }

  async #refreshFrom(first: BootReport): Promise<void> {
    let last: BootReport | undefined = first;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#wait(this.#pauseMs(last));
      if (signal.aborted) return;
      try {
        last = await this.#bootOnce(false);
      } catch (error) {
        last = undefined;
        if (!signal.aborted) this.#options.onFault(error);
      }
    }
  }

  #bootOnce(isFirst: boolean): Promise<BootReport> {
    const booting = this.#boot(isFirst);
    this.#booting = booting.catch(() => undefined);
    return booting;
  }

  async #boot(isFirst: boolean): Promise<BootReport> {
    this.#waking = new AbortController();
    const { requireHedge, environment, keeper } = this.#options;
    const report = await boot(
      this.#config,
      { ...this.#options, outgoing: this.#outgoing },
      {
        signal: this.#stopping.signal,
        use: isFirst ? keeper.open() : keeper.use(),
        requireHedge,
        streams: (bytes) => this.#hear(bytes),
      },
    );
    this.#last = report;
    this.#lastAt = new Date(Number(environment.realtimeNs() / 1_000_000n)).toISOString();
    await this.#writeReport();
    this.#options.onReport(report);
    return report;
  }

  /** One after the other: a refresh and a renewal may be over in the same moment. */
  #writeReport(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeReportNow());
    return this.#writing;
  }

  async #writeReportNow(): Promise<void> {
    const { last: renewal } = this.#renewals;
    if (this.#last === undefined) return;
    const report = { resident: true, last: this.#last, at: this.#lastAt, ...(renewal && { renewal }) };
    const unwritten = await writeReport(this.#options.environment, this.#config.report, report);
    if (unwritten !== undefined) this.#options.onFault(unwritten);
  }

  /** What a boot gave for streams goes straight into the root: the first time it seeds it. */
  #hear(bytes: Uint8Array): void {
    this.#accumulator.reseedDirect(this.#accumulator.seeded ? 'beacon' : 'seed', [{ label: 'root', bytes }]);
    wipe(bytes);
  }

  /** Until the next refresh: the period when all is well, a growing back-off when it is not; never less than a relay asked for. */
  #pauseMs(last: BootReport | undefined): number {
    const { environment } = this.#options;
    const { refreshMs, require } = this.#config;
    if (last?.clock !== undefined) return Math.min(CLOCK_LOOK_MS, refreshMs);
    if (last !== undefined && last.seeded && last.beacons >= require) {
      this.#failures = 0;
      return jitteredMs(environment, refreshMs);
    }
    this.#failures += 1;
    const asked = Math.max(
      0,
      ...[...(last?.relays ?? []), ...(last?.pollen ?? [])].map(({ retryAfterMs = 0 }) => retryAfterMs),
    );
    const maxMs = isBusy(last) ? Math.min(refreshMs, MAX_BUSY_BACK_OFF_MS) : refreshMs;
    const backOff = backOffMs(environment, this.#failures, { minMs: MIN_BACK_OFF_MS, maxMs });
    return Math.max(backOff, Math.min(asked, MAX_RETRY_AFTER_MS));
  }

  async #wait(pauseMs: number): Promise<void> {
    const { environment } = this.#options;
    const either = AbortSignal.any([this.#stopping.signal, this.#waking.signal]);
    await environment.timers.sleep(pauseMs, either).catch((error: unknown) => {
      if (!either.aborted) throw error;
    });
  }
}

const isBusy = (last: BootReport | undefined): boolean =>
  last?.relays.some(({ reason }) => reason !== undefined && BUSY.has(reason.code)) === true;
