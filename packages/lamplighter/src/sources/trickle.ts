import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { type LinkedAbort, linkedAbort } from '../local/linked-abort.js';
import { checkRange } from '../local/range.js';
import { NO_BASIS } from '../wire/basis.js';
import type { SourceReport } from '../wire/status.js';
import { TRICKLE_HELLO, TrickleGreeting } from '../wire/trickle.js';
import { FileDoor } from './process/file-door.js';
import { hearStream } from './process/hearing.js';
import { Pace } from './process/pace.js';
import { hearProgram } from './process/program.js';
import { Sampler } from './sampler.js';
import type { Source, SourceSink } from './source.js';
import { SourceLife } from './source-life.js';
import { findTricklePort, TRICKLE_DEVICE, type TricklePort } from './trickle-port.js';

const MIN_BACK_OFF_MS = 1_000;
const MAX_BACK_OFF_MS = 15_000;
/** A host that sends more waits: a burst is a thousand bytes. */
const BYTES_PER_SECOND = 65_536;

/**
 * Says hello and reads, on one descriptor: the kernel lets a port be opened once at a time. What is missing or busy the shell
 * says on stderr.
 */
const SPEAK = `exec 3<>"$1" && printf '%s\\r\\n' "$2" >&3 && exec cat <&3`;

/** What a person says about a trickle. */
export interface TrickleSourceOptions {
  readonly name?: string;
  /** The virtio-serial port's character device, or a unix socket; {@link TRICKLE_DEVICE} unless told. */
  readonly device?: string;
  /** How long the host may take to greet, ms: it may still be gathering entropy itself; 60,000 unless told. */
  readonly greetingMs?: number;
  /** Silence after which hello is said again, ms; 180,000 unless told. */
  readonly silenceMs?: number;
}

/**
 * In a guest: the trickle that its host serves over a virtio-serial port.
 *
 * Hello is said when the port is opened, and again after a fault or a long silence: a guest that was restored into a new QEMU
 * sits on a line on which nobody has asked. All bytes behind the greeting are heard; they earn no credit. The port is
 * opened, written and read by a child, because a read that waits, or an open that does, would hold a thread of ours.
 * A machine without such a port is `absent`.
 * @throws RangeError when a number is out of its range
 */
export function trickleSource(options: TrickleSourceOptions, environment: Environment): Source {
  return new TrickleSource(options, environment);
}

class TrickleSource implements Source {
  readonly name: string;
  readonly kind = 'trickle';
  readonly position = 'outside';
  readonly #environment: Environment;
  readonly #device: string;
  readonly #greetingMs: number;
  readonly #silenceMs: number;
  readonly #door = new FileDoor();
  readonly #sampler = new Sampler();
  readonly #life = new SourceLife(() => this.#sampler.close());
  #form: TricklePort['form'] | undefined;
  #hellos = 0;
  #greetings = 0;
  #heardBytes = 0;

  constructor(options: TrickleSourceOptions, environment: Environment) {
    this.name = options.name ?? 'trickle';
    this.#environment = environment;
    this.#device = options.device ?? TRICKLE_DEVICE;
    this.#greetingMs = options.greetingMs ?? 60_000;
    this.#silenceMs = options.silenceMs ?? 180_000;
    checkRange('greetingMs', this.#greetingMs, 100, 3_600_000);
    checkRange('silenceMs', this.#silenceMs, 100, 86_400_000);
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    return this.#life.begin((running) => this.#converse(sink, running), signal, {
      environment: this.#environment,
      onFault: (error) => this.#fail(error),
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
    });
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#sampler.sample(signal);
  }

  status(): SourceReport {
    return {
      ...this.#life.condition,
      basis: NO_BASIS,
      details: {
        device: this.#device,
        form: this.#form ?? 'not found yet',
        hellos: this.#hellos,
        greetings: this.#greetings,
        heardBytes: this.#heardBytes,
      },
    };
  }

  stop(): Promise<void> {
    return this.#life.end();
  }

  /** One conversation. Ends only by a fault or by the signal. */
  async #converse(sink: SourceSink, signal: AbortSignal): Promise<never> {
    const port = await findTricklePort(this.#device, this.#environment);
    this.#form = port.form;
    const conversation = linkedAbort(signal);
    const watch = this.#newWatch(conversation);
    const greeting = new TrickleGreeting();
    const pace = new Pace(BYTES_PER_SECOND, this.#environment);
    const hear = (chunk: Uint8Array): number => {
      const wasGreeted = greeting.heard;
      try {
        const entropy = greeting.push(chunk);
        if (!wasGreeted && greeting.heard) this.#greetings += 1;
        if (greeting.heard) watch.heard(this.#silenceMs);
        if (entropy.length > 0) this.#hear(entropy, sink);
      } catch (error) {
        conversation.abort(error);
      }
      return pace.pauseMs(chunk.length);
    };
    this.#hellos += 1;
    try {
      if (port.form === 'unix socket') await this.#bySocket(port.path, hear, conversation.signal);
      else await this.#byChild(port.path, hear, conversation.signal);
    } finally {
      watch.close();
      conversation.release();
    }
    throw gone(port.path, 'the host has closed the line');
  }

  async #bySocket(path: string, hear: (chunk: Uint8Array) => number, signal: AbortSignal): Promise<void> {
    const socket = this.#environment.connect({ path });
    socket.write(TRICKLE_HELLO, 'latin1');
    try {
      await hearStream(socket, hear, signal, this.#environment);
    } catch (error) {
      signal.throwIfAborted();
      throw gone(path, codeOf(error), error);
    }
  }

  async #byChild(path: string, hear: (chunk: Uint8Array) => number, signal: AbortSignal): Promise<void> {
    const environment = this.#environment;
    const attempt = { hear, signal, environment, door: this.#door, onForm: () => undefined };
    const args = ['-c', SPEAK, 'sh', path, TRICKLE_HELLO.trimEnd()];
    const { how, said } = await hearProgram('sh', args, attempt);
    if (how === 'code 0') return;
    if (said.endsWith('Permission denied')) {
      throw new LamplighterError('ERR_DEVICE', `${path} may not be opened by this user`, {
        hint: `let this user read and write it, for instance by a udev rule for ${path}`,
      });
    }
    throw gone(path, `the child that reads it ended (${how})${said}`);
  }

  /** Ends a conversation in which the host does not say what it should. */
  #newWatch(conversation: LinkedAbort): { heard(limitMs: number): void; close(): void } {
    const { timers } = this.#environment;
    const end = (): void => {
      const message = `the host said nothing on ${this.#device} for too long: hello is said again`;
      conversation.abort(new LamplighterError('ERR_PROCESS_SILENT', message));
    };
    let timer = timers.after(this.#greetingMs, end);
    return {
      heard: (limitMs) => {
        timer.cancel();
        timer = timers.after(limitMs, end);
      },
      close: () => timer.cancel(),
    };
  }

  #hear(bytes: Uint8Array, sink: SourceSink): void {
    if (this.#life.isOver) return;
    this.#life.note('ok');
    this.#heardBytes += bytes.length;
    this.#sampler.hear(bytes);
    sink.hear(bytes);
  }

  #fail(error: unknown): void {
    if (this.#life.fail(error) === 'absent') this.#sampler.absent();
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';

function gone(path: string, why: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_PROCESS_GONE', `${path}: ${why}`, {
    hint: 'does the host serve the trickle for this guest',
    cause,
  });
}
