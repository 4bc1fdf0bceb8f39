import type { Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { backOffMs } from '../local/retry.js';
import type { AgentConfig } from './config.js';
import { type RenewalDoors, renewIfDue, type RenewalReport } from './renewal.js';

/** What an agent that stays renews its certificate with. */
export interface RenewalLoopOptions extends RenewalDoors {
  readonly requireHedge: boolean;
  /** Resolves when no refresh is under way. */
  readonly refreshed: () => Promise<unknown>;
  /** Whether a boot or refresh has seeded the kernel, with a clock that can be right. */
  readonly mayAsk: () => boolean;
  /** Hears when the certificate was renewed, could not be, or was replaced by somebody else after that. */
  readonly onRenewal: (report: RenewalReport) => Promise<void>;
  /** Hears once of each way in which there is no usable certificate. */
  readonly onFault: (error: unknown) => void;
}

// Implementation constants.
const SHORTEST_WAIT_MS = 200;
const SHORTEST_BACK_OFF_MS = 5_000;
const LONGEST_BACK_OFF_MS = 3_600_000;

/**
 * Renews the certificate whenever that is due, beside the refreshes: whoever does not answer here delays none of them, and it
 * begins only while none is under way.
 */
export class RenewalLoop {
  readonly #config: AgentConfig;
  readonly #options: RenewalLoopOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #last: RenewalReport | undefined;
  #told: string | undefined;
  #failures = 0;

  constructor(config: AgentConfig, options: RenewalLoopOptions) {
    this.#config = config;
    this.#options = options;
  }

  /** What was last heard of by `onRenewal`. */
  get last(): RenewalReport | undefined {
    return this.#last;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Gives up what is under way; resolves when it is let go. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { environment, refreshed, mayAsk } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await refreshed();
      const pauseMs = mayAsk() ? await this.#renew() : SHORTEST_BACK_OFF_MS;
      await environment.timers.sleep(pauseMs, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  }

  /** @returns how long to wait, ms */
  async #renew(): Promise<number> {
    const { requireHedge, onRenewal, onFault, environment } = this.#options;
    const { signal } = this.#stopping;
    try {
      const report = await renewIfDue(this.#config, this.#options, { signal, requireHedge });
      this.#told = undefined;
      if (!signal.aborted && (report.renewed || report.reason || this.#last?.reason)) {
        this.#last = report;
        await onRenewal(report);
      }
      return this.#pauseMs(report, environment);
    } catch (error) {
      const text = String(error);
      if (!signal.aborted && text !== this.#told) onFault(error);
      this.#told = text;
      return this.#backOffMs(this.#config.refreshMs);
    }
  }

  /** Until it is due, or somebody may have replaced it; after a failure a growing back-off, shorter where little is left, and never less than was asked for. */
  #pauseMs(report: RenewalReport, environment: Environment): number {
    const { renewsAt, notAfter, reason, retryAfterMs = 0 } = report;
    const nowMs = Number(environment.realtimeNs() / 1_000_000n);
    if (reason === undefined) {
      this.#failures = 0;
      const lookMs = jitteredMs(environment, this.#config.refreshMs);
      const dueMs = renewsAt === undefined ? Infinity : Date.parse(renewsAt) - nowMs;
      return Math.max(SHORTEST_WAIT_MS, Math.min(dueMs, lookMs));
    }
    const leftMs = Math.max(0, Date.parse(notAfter) - nowMs);
    return Math.max(this.#backOffMs(leftMs / 4), Math.min(retryAfterMs, LONGEST_BACK_OFF_MS));
  }

  #backOffMs(mostMs: number): number {
    this.#failures += 1;
    const maxMs = Math.max(SHORTEST_WAIT_MS, Math.min(mostMs, LONGEST_BACK_OFF_MS));
    const minMs = Math.min(SHORTEST_BACK_OFF_MS, maxMs);
    return backOffMs(this.#options.environment, this.#failures, { minMs, maxMs });
  }
}
