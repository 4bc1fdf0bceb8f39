import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { keepTrying } from '../local/retry.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason } from '../wire/status.js';

export interface QmpFollowerOptions {
  readonly environment: Environment;
  /** QEMU's, absolute: `-qmp unix:PATH,server=on,wait=off`, a monitor of our own beside libvirt's. */
  readonly socket: string;
  /** The guest goes on after it stood still: restored, loaded from a snapshot, or paused. */
  readonly onResume: () => void;
}

/** A line of QMP that we have use for is some hundred bytes; QEMU's longest events are some thousand. */
const MAX_LINE_BYTES = 65_536;
const MIN_BACK_OFF_MS = 250;
const MAX_BACK_OFF_MS = 15_000;
/** Before this QEMU sends no events. Source: QEMU, docs/interop/qmp-spec.rst. */
const NEGOTIATE = '{"execute":"qmp_capabilities"}\n';

/**
 * Follows one QEMU, and says when its guest goes on after it stood still: QMP's event RESUME. Sends nothing but what QEMU asks
 * of everybody; connects again, with back-off, when QEMU is gone.
 *
 * A QEMU that restores a state may go on before anybody follows it: then there is no event, and a hook has to tell.
 */
export class QmpFollower {
  readonly #options: QmpFollowerOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #fault: Reason | undefined;
  #following = false;
  #resumes = 0;

  constructor(options: QmpFollowerOptions) {
    this.#options = options;
  }

  get status(): { readonly following: boolean; readonly resumes: number; readonly fault?: Reason } {
    return {
      following: this.#following,
      resumes: this.#resumes,
      ...(this.#fault && !this.#following && { fault: this.#fault }),
    };
  }

  start(): void {
    const { environment } = this.#options;
    this.#running = keepTrying((signal) => this.#follow(signal), {
      environment,
      signal: this.#stopping.signal,
      onFault: (error) => (this.#fault = reasonOf(error)),
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** One connection, to its end. */
  #follow(signal: AbortSignal): Promise<void> {
    const connection = this.#options.environment.connect({ path: this.#options.socket });
    const lines = new QmpLines((event) => {
      if (event !== 'RESUME') return;
      this.#resumes += 1;
      this.#options.onResume();
    });
    return new Promise((resolve, reject) => {
      const giveUp = (): void => void connection.destroy();
      signal.addEventListener('abort', giveUp, { once: true });
      connection.on('data', (chunk: Buffer) => {
        try {
          if (lines.push(chunk)) {
            this.#following = true;
            connection.write(NEGOTIATE);
          }
        } catch (error) {
          connection.destroy(error instanceof Error ? error : undefined);
        }
      });
      let fault: unknown;
      connection.on('error', (error) => (fault = error));
      connection.on('close', () => {
        signal.removeEventListener('abort', giveUp);
        this.#following = false;
        if (fault === undefined) resolve();
        else reject(asFault(fault, this.#options.socket));
      });
      if (signal.aborted) giveUp();
    });
  }
}

/** Takes QMP apart: one JSON object a line. */
class QmpLines {
  readonly #onEvent: (event: string) => void;
  #rest = '';
  #greeted = false;

  constructor(onEvent: (event: string) => void) {
    this.#onEvent = onEvent;
  }

  /**
   * @returns whether QEMU has greeted just now
   * @throws LamplighterError ERR_UPSTREAM_PROTOCOL for what is no QMP
   */
  push(chunk: Buffer): boolean {
    const parts = `${this.#rest}${chunk.toString('latin1')}`.split('\n');
    this.#rest = parts.pop() ?? '';
    let hasGreeted = false;
    for (const part of [...parts, this.#rest]) if (part.length > MAX_LINE_BYTES) throw noQmp();
    for (const part of parts) {
      const said = objectOf(part);
      if (!this.#greeted) {
        if (!('QMP' in said)) throw noQmp();
        this.#greeted = true;
        hasGreeted = true;
      } else if (typeof said['event'] === 'string') {
        this.#onEvent(said['event']);
      }
    }
    return hasGreeted;
  }
}

function objectOf(line: string): Readonly<Record<string, unknown>> {
  try {
    const said: unknown = JSON.parse(line);
    if (typeof said === 'object' && said !== null) return said as Readonly<Record<string, unknown>>;
  } catch {
    // As below.
  }
  throw noQmp();
}

const noQmp = (): LamplighterError =>
  new LamplighterError('ERR_UPSTREAM_PROTOCOL', 'who answers there does not speak QMP');

function asFault(cause: unknown, socket: string): LamplighterError {
  if (cause instanceof LamplighterError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  return new LamplighterError('ERR_UPSTREAM_UNREACHABLE', `${socket}: ${code}`, {
    hint: 'start QEMU with a monitor for us: -qmp unix:PATH,server=on,wait=off',
    cause,
  });
}
