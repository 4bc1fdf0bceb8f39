import type { Environment } from '../local/environment.js';
import { trickleSource } from '../sources/trickle.js';
import type { SourceReport } from '../wire/status.js';
import { HostBursts } from './host-bursts.js';

/** What a line to the host needs to know of the agent it serves. */
export interface HostLineOptions {
  readonly environment: Environment;
  /** The port's device, or a unix socket; where udev puts the trickle's port unless told. */
  readonly device?: string | undefined;
  /** Hears everything the host gives: mixed, never credited. */
  readonly hear: (bytes: Uint8Array) => void;
  /** This machine was resumed, says the host, and gives so many fresh bytes; wiped when this returns. */
  readonly onBurst: (bytes: Uint8Array) => void;
}

/**
 * In a guest: the trickle of the host, and its word that this machine was restored or cloned. The only separator that is
 * certain where a guest sees no VM generation (DESIGN 6.4).
 *
 * The host says it by greeting again: whoever runs goes on reading where the snapshot was taken, and a host that has not
 * seen this guest restored has no reason to greet twice.
 */
export class HostLine {
  readonly #source;
  readonly #options: HostLineOptions;
  readonly #bursts = new HostBursts();

  constructor(options: HostLineOptions) {
    const { device, environment } = options;
    this.#options = options;
    this.#source = trickleSource({ name: 'host', ...(device !== undefined && { device }) }, environment);
  }

  /** Begins to listen. A machine without such a port is no fault: `status` says `absent`. */
  start(signal: AbortSignal): Promise<void> {
    const { hear, onBurst } = this.#options;
    const sink = {
      hear: (bytes: Uint8Array) => {
        hear(bytes);
        for (const burst of this.#bursts.push(bytes)) {
          onBurst(burst);
          burst.fill(0);
        }
      },
    };
    return this.#source.start(sink, signal);
  }

  status(): SourceReport {
    return this.#source.status();
  }

  async stop(): Promise<void> {
    await this.#source.stop();
    this.#bursts.wipe();
  }
}
