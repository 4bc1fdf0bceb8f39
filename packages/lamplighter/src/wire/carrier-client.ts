import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { CarrierDecoder, encodeCarrierFrame } from './carrier.js';
import { CarrierSession } from './carrier-session.js';

// Implementation constants.
/** Between two attempts to find the line free, and somebody at its other end. */
const RETRY_MS = 100;
/** For which a host that is not there is waited for: its node is being restarted. */
const HOST_PATIENCE_MS = 2_000;
/** For what was written last to leave this machine. */
const LINGER_MS = 1_000;

export interface CarrierClientOptions {
  /** For the texts of errors. */
  readonly where: string;
  /**
   * Opens the line; it is this connection's alone until it is destroyed, and ends when nobody is at the host's end.
   * @returns undefined while somebody else on this machine has it
   */
  readonly open: () => Promise<Duplex | undefined>;
  readonly environment: Pick<Environment, 'timers' | 'realtimeNs' | 'monotonicNs' | 'cycleCounter'>;
}

/**
 * The guest's end: a connection to the host over a serial line, as `net.connect` makes one over TCP. What is written waits until
 * the host has answered; until somebody destroys it, it waits for others on this machine who use the line, and two seconds for
 * a host that is not there.
 *
 * Source: wire/carrier.ts. The line is opened for this one connection, and is free again when `close` is emitted.
 * @returns destroyed with ERR_UPSTREAM_UNREACHABLE when the host is not there or goes away, or what `open` threw
 */
export function connectCarrier(options: CarrierClientOptions): Duplex {
  return new Client(options).session;
}

class Client {
  readonly session: CarrierSession;
  readonly #options: CarrierClientOptions;
  readonly #over = new AbortController();
  #line: Duplex | undefined;
  #isOpen = false;
  /** The one write that waits for the host's answer. */
  #held: (() => void) | undefined;

  constructor(options: CarrierClientOptions) {
    this.#options = options;
    this.session = new CarrierSession(newSession(options.environment), {
      write: (bytes, done) => {
        const write = (): void => void this.#line?.write(bytes, done);
        if (this.#isOpen) write();
        else this.#held = write;
      },
      resume: () => void this.#line?.resume(),
      closed: (isComplete, done) => this.#close(isComplete, done),
    });
    this.#run().catch((error: unknown) => this.session.destroy(error as Error));
  }

  async #run(): Promise<void> {
    const { environment, open, where } = this.#options;
    const { signal } = this.#over;
    const untilNs = environment.monotonicNs() + BigInt(HOST_PATIENCE_MS) * 1_000_000n;
    for (;;) {
      const line = await open();
      if (signal.aborted) {
        line?.destroy();
        return;
      }
      if (line !== undefined) {
        await this.#talk(line);
        if (signal.aborted) return;
        if (this.#isOpen) throw lost(where);
        if (environment.monotonicNs() > untilNs) throw nobodyThere(where);
      }
      await environment.timers.sleep(RETRY_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
    }
  }

  /** Resolves when the line is closed. */
  async #talk(line: Duplex): Promise<void> {
    const { session } = this;
    const decoder = new CarrierDecoder();
    this.#line = line;
    line.on('error', () => undefined);
    line.on('data', (chunk: Buffer) => {
      for (const { type, session: whose, payload } of decoder.push(chunk)) {
        if (whose !== session.session) continue;
        if (type === 'open') this.#opened();
        else if (!this.#isOpen) continue;
        else if (type === 'close') session.closedByPeer();
        else if (!session.deliver(payload)) line.pause();
      }
    });
    line.once('end', () => line.destroy());
    line.write(encodeCarrierFrame('open', session.session));
    if (!line.closed) await once(line, 'close').catch(() => undefined);
  }

  #opened(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#held?.();
    this.#held = undefined;
  }

  /** @param done - called when the line is free */
  #close(isComplete: boolean, done: () => void): void {
    this.#over.abort();
    const line = this.#line;
    if (line === undefined || line.closed) {
      done();
      return;
    }
    // What has been written is on its way through a child; what was broken off shall go no further.
    const linger = this.#options.environment.timers.after(LINGER_MS, () => line.destroy());
    line.once('close', () => {
      linger.cancel();
      done();
    });
    if (isComplete && !line.destroyed) line.end(() => line.destroy());
    else line.destroy();
  }
}

/** Not random: the machine that asks may have nothing to make it from yet. */
function newSession(environment: CarrierClientOptions['environment']): bigint {
  const cycles = environment.cycleCounter();
  const moment = [environment.realtimeNs(), environment.monotonicNs(), cycles.supported ? cycles.value : 0n];
  const hash = createHash('sha256').update(`lamplighter/carrier/v1 ${process.pid} ${moment.join(' ')}`);
  return hash.digest().readBigUInt64BE(0);
}

const HINT =
  'see that the guest has the port, and that a node on the host has its other end among its carriers';

function nobodyThere(where: string): LamplighterError {
  return new LamplighterError('ERR_UPSTREAM_UNREACHABLE', `nobody is at the host's end of ${where}`, {
    hint: HINT,
  });
}

function lost(where: string): LamplighterError {
  return new LamplighterError('ERR_UPSTREAM_UNREACHABLE', `the host let go of its end of ${where}`, {
    hint: HINT,
  });
}
