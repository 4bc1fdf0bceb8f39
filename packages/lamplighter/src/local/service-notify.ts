import type { ChildProcess } from 'node:child_process';
import { LamplighterError } from '@lamplighter/core';
import { type Environment, monotonicMs } from './environment.js';

// Protocol constants: sd_notify(3) and sd_watchdog_enabled(3).
const US_PER_MS = 1_000;
const MAX_STATUS_CHARACTERS = 256;
/** What a timer of Node's can hold, ms: 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

// Implementation constants.
/** What the end of a start is put off by: as much as the units' TimeoutStartSec. */
const START_EXTENSION_MS = 60_000;
/** How often the end of a start is put off, and what is waited for told. */
const START_BEAT_MS = 5_000;
/** How often the status is looked at where there is no watchdog to be fed. */
const STATUS_LOOK_MS = 15_000;
/** systemd-notify waits until systemd has read what it says, which takes a few milliseconds. */
const CHILD_DEADLINE_MS = 5_000;
/** How long a process that ends waits for its last word to be said. */
const LAST_WORD_MS = 500;
const SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin';

/** What a service manager tells a service about talking back. */
export interface ServiceManagerVariables {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/**
 * Tells the service manager how its service does. Nothing here throws, waits or fails the service: a word that could not be said is
 * a fault told once.
 */
export interface ServiceNotifier {
  /** The service does what it is for: READY=1, once. From here on the watchdog is fed. */
  ready(): void;
  /**
   * The service follows a new configuration: RELOADING=1 now; READY=1 when that is over, well or not, and no other is under way.
   * Nothing before {@link ServiceNotifier.ready}: a reload makes no service ready.
   */
  reloading(over: Promise<unknown>): void;
  /** STOPPING=1; nothing is said after it. */
  stopping(): void;
  /** Lets go of timers and child, after half a second at most for what is being said. */
  stop(): Promise<void>;
}

export interface ServiceNotifierOptions {
  readonly environment: Pick<Environment, 'monotonicNs' | 'spawn' | 'timers'>;
  readonly variables: ServiceManagerVariables;
  /** This process: the watchdog may be another's. */
  readonly pid: number;
  /** The line that `systemctl status` shows, now. Control characters become spaces, and 256 characters are shown. */
  readonly describe: () => string;
  /** Hears of the first word that could not be said, and of no other. */
  readonly onFault: (error: LamplighterError) => void;
}

/**
 * Makes the notifier of a service: one that does nothing where no service manager listens.
 *
 * Node has no AF_UNIX datagrams, so systemd-notify, which is on every machine with systemd, speaks: one child at a time. It ends when
 * systemd has read it; with --no-block systemd could find the child gone, and not know whose word that was.
 * Until the service is ready the end of its start is put off again and again, from then on the watchdog is fed at half its period:
 * both for as long as the event loop turns, and no longer.
 * Source: sd_notify(3), sd_watchdog_enabled(3), systemd 252.
 */
export function serviceNotifier(options: ServiceNotifierOptions): ServiceNotifier {
  const { NOTIFY_SOCKET: socket } = options.variables;
  return socket === undefined || socket === '' ? SILENT : new SystemdNotifier(options, socket);
}

const SILENT: ServiceNotifier = {
  ready() {},
  reloading() {},
  stopping() {},
  stop: () => Promise.resolve(),
};

/** Kinds of words: of each only the newest waits to be said. */
type Kind = 'beat' | 'reloading' | 'ready' | 'stopping';

class SystemdNotifier implements ServiceNotifier {
  readonly #options: ServiceNotifierOptions;
  readonly #socket: string;
  /** In the order in which they are to be said. */
  readonly #waiting = new Map<Kind, readonly string[]>();
  #state: 'starting' | 'ready' | 'stopping' = 'starting';
  #text: string | undefined;
  #reloads = 0;
  #beat: { cancel(): void };
  #child: ChildProcess | undefined;
  #isFaulty = false;
  /** There is nobody to speak for us. */
  #isMute = false;
  #onIdle: (() => void) | undefined;

  constructor(options: ServiceNotifierOptions, socket: string) {
    this.#options = options;
    this.#socket = socket;
    const extend = (): void => {
      this.#say('beat', `EXTEND_TIMEOUT_USEC=${START_EXTENSION_MS * US_PER_MS}`, ...this.#newStatus());
    };
    extend();
    this.#beat = options.environment.timers.every(START_BEAT_MS, extend);
  }

  ready(): void {
    if (this.#state !== 'starting') return;
    this.#state = 'ready';
    this.#beat.cancel();
    this.#say('ready', 'READY=1', ...this.#newStatus());
    const watchdogMs = this.#watchdogMs();
    const [periodMs, sign] =
      watchdogMs === undefined ? [STATUS_LOOK_MS, []] : [watchdogMs / 2, ['WATCHDOG=1']];
    this.#beat = this.#options.environment.timers.every(periodMs, () => {
      const words = [...sign, ...this.#newStatus()];
      if (words.length > 0) this.#say('beat', ...words);
    });
  }

  reloading(over: Promise<unknown>): void {
    if (this.#state !== 'ready') return;
    this.#reloads += 1;
    const nowUs = this.#options.environment.monotonicNs() / 1_000n;
    this.#say('reloading', 'RELOADING=1', `MONOTONIC_USEC=${nowUs}`);
    const isOver = (): void => {
      this.#reloads -= 1;
      if (this.#state === 'ready' && this.#reloads === 0) this.#say('ready', 'READY=1', ...this.#newStatus());
    };
    void over.then(isOver, isOver);
  }

  stopping(): void {
    if (this.#state === 'stopping') return;
    this.#state = 'stopping';
    this.#beat.cancel();
    this.#waiting.clear();
    this.#say('stopping', 'STOPPING=1', 'STATUS=stopping');
  }

  async stop(): Promise<void> {
    this.#state = 'stopping';
    this.#beat.cancel();
    if (this.#child === undefined) return;
    const late = new AbortController();
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    const tooLate = this.#options.environment.timers.sleep(LAST_WORD_MS, late.signal).catch(() => undefined);
    await Promise.race([idle, tooLate]);
    late.abort();
    this.#waiting.clear();
    this.#child?.kill('SIGKILL');
  }

  /** How long systemd waits for a sign of life, ms; undefined when it does not, or not for one of ours. */
  #watchdogMs(): number | undefined {
    const { WATCHDOG_USEC: periodUs = '', WATCHDOG_PID: pid = '' } = this.#options.variables;
    if (periodUs === '' || (pid !== '' && pid !== String(this.#options.pid))) return undefined;
    if (/^[1-9][0-9]{3,17}$/.test(periodUs)) return Math.min(Number(periodUs) / US_PER_MS, MAX_TIMER_MS);
    this.#fault('WATCHDOG_USEC is no number of microseconds: the watchdog is not fed');
    return undefined;
  }

  /** What `systemctl status` does not show yet. */
  #newStatus(): readonly string[] {
    // A line end would begin another assignment.
    const text = this.#options
      .describe()
      .replace(/\p{Cc}/gu, ' ')
      .slice(0, MAX_STATUS_CHARACTERS);
    if (text === this.#text) return [];
    this.#text = text;
    return [`STATUS=${text}`];
  }

  /** Says it now, or after what is being said. An unsaid word of its kind was overtaken: so no more than four ever wait. */
  #say(kind: Kind, ...assignments: readonly string[]): void {
    if (this.#isMute) return;
    this.#waiting.delete(kind);
    this.#waiting.set(kind, assignments);
    this.#speak();
  }

  #speak(): void {
    const [next] = this.#child === undefined ? this.#waiting : [];
    if (next === undefined) return;
    const [kind, assignments] = next;
    this.#waiting.delete(kind);
    const { environment } = this.#options;
    const startedMs = monotonicMs(environment);
    let child: ChildProcess;
    try {
      child = environment.spawn('systemd-notify', assignments, {
        cwd: '/',
        env: { PATH: SEARCH_PATH, NOTIFY_SOCKET: this.#socket },
        stdio: 'ignore',
      });
    } catch {
      this.#fault('systemd-notify could not be started');
      return;
    }
    this.#child = child;
    const deadline = environment.timers.after(CHILD_DEADLINE_MS, () => child.kill('SIGKILL'));
    const over = (fault?: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      deadline.cancel();
      if (fault !== undefined) this.#fault(fault);
      this.#speak();
      if (this.#child === undefined) this.#onIdle?.();
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      // Too many processes or files pass; what is not installed stays so.
      this.#isMute = error.code === 'ENOENT' || error.code === 'EACCES';
      if (this.#isMute) this.#waiting.clear();
      over('systemd-notify could not be started: systemd does not hear how this service does');
    });
    child.once('exit', (code, signal) => {
      const tookMs = Math.round(monotonicMs(environment) - startedMs);
      const how = signal === null ? `with code ${code ?? 'unknown'}` : `by ${signal}`;
      over(code === 0 ? undefined : `systemd-notify ended ${how} after ${tookMs} ms`);
    });
  }

  #fault(message: string): void {
    if (this.#isFaulty) return;
    this.#isFaulty = true;
    this.#options.onFault(
      new LamplighterError('ERR_CHILD_FAILED', message, {
        hint: 'see that systemd-notify is in /usr/bin and works, or use a unit without Type=notify and WatchdogSec',
      }),
    );
  }
}
