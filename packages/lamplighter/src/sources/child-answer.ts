import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { LamplighterError, wipe } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { findProgram, searchPath } from './find-program.js';

/** What a program that ran to its end said. */
export interface ChildAnswer {
  /** Its whole stdout, in an array of its own. */
  readonly bytes: Uint8Array;
  /** How it ended, for a person: `code 0`, `signal SIGSEGV`. */
  readonly how: string;
  /** The end of its stderr, printable, at most 200 characters. */
  readonly complaint: string;
}

/** What one question to a program may cost. */
export interface ChildLimits {
  /** Time from its start to its end, ms. */
  readonly deadlineMs: number;
  /** The longest stdout that is taken; more ends the child. */
  readonly maxBytes: number;
  /** Ends the child at once. */
  readonly signal: AbortSignal;
}

/** A killed child is gone at once, unless a driver holds it. */
const KILL_GRACE_MS = 1_000;
const MAX_COMPLAINT_BYTES = 2_048;
const MAX_COMPLAINT_SHOWN = 200;

/**
 * Asks something that may stay silent by a program that reads it for us: a blocked read of a device would hold a thread of
 * this process for ever; a blocked child is killed. One child at a time: whoever asks meanwhile waits, then asks.
 *
 * The child is started by `setpriv --pdeathsig KILL` where there is one, so that it ends with us even when we are killed. A
 * child that cannot be killed is left behind, and no other is started before it is gone.
 *
 * Cost of one answer: two small processes' worth of CPU elsewhere, and `spawn` itself, which blocks the event loop for some 4 ms
 * (median of 40 on two busy cores, 12 the longest; one machine). That is more than the 2 ms of other sources: ask seldom.
 */
export class ShortChild {
  readonly #environment: Environment;
  #turn: Promise<unknown> = Promise.resolve();
  #isLeftBehind = false;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /**
   * @param command - absolute path, as `findProgram` gives it
   * @throws LamplighterError ERR_DEADLINE, ERR_CHILD_FAILED when it cannot be started or says too much; the signal's reason
   */
  async run(command: string, args: readonly string[], limits: ChildLimits): Promise<ChildAnswer> {
    const answer = this.#turn.then(() => this.#runNow(command, args, limits));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async #runNow(command: string, args: readonly string[], limits: ChildLimits): Promise<ChildAnswer> {
    limits.signal.throwIfAborted();
    if (this.#isLeftBehind) {
      throw new LamplighterError('ERR_DEADLINE', `the ${path.basename(command)} before cannot be ended`, {
        hint: 'a driver holds it; look for processes in state D',
      });
    }
    const setpriv = await findProgram('setpriv', this.#environment);
    const leash = ['--pdeathsig', 'KILL', command];
    limits.signal.throwIfAborted();
    const child = this.#environment.spawn(
      setpriv ?? command,
      setpriv === undefined ? args : [...leash, ...args],
      {
        cwd: '/',
        env: { PATH: searchPath(), LC_ALL: 'C' },
        stdio: ['ignore', 'pipe', 'pipe'],
        // A session of its own: Ctrl-C in the terminal is for us, and we end the child.
        detached: true,
      },
    );
    return this.#answerOf(child, path.basename(command), limits);
  }

  #answerOf(child: ChildProcess, name: string, limits: ChildLimits): Promise<ChildAnswer> {
    const { timers } = this.#environment;
    const chunks: Buffer[] = [];
    let lengthBytes = 0;
    let complaint = '';
    let fault: unknown;
    let grace: { cancel(): void } | undefined;

    return new Promise((resolve, reject) => {
      const deadline = timers.after(limits.deadlineMs, () =>
        end(new LamplighterError('ERR_DEADLINE', `${name} gave no answer in ${limits.deadlineMs} ms`)),
      );
      const onAbort = (): void => end(limits.signal.reason);
      limits.signal.addEventListener('abort', onAbort, { once: true });

      function release(): void {
        deadline.cancel();
        grace?.cancel();
        limits.signal.removeEventListener('abort', onAbort);
      }

      const leave = (): void => {
        release();
        this.#isLeftBehind = true;
        child.stdout?.destroy();
        child.stderr?.destroy();
        child.unref();
        wipe(...chunks);
        reject(asError(fault));
      };

      function end(reason: unknown): void {
        if (fault !== undefined) return;
        fault = reason ?? new Error('aborted');
        child.kill('SIGKILL');
        grace = timers.after(KILL_GRACE_MS, leave);
      }

      child.stdout?.on('data', (chunk: Buffer) => {
        lengthBytes += chunk.length;
        if (lengthBytes <= limits.maxBytes) {
          chunks.push(chunk);
          return;
        }
        chunk.fill(0);
        end(new LamplighterError('ERR_CHILD_FAILED', `${name} said more than ${limits.maxBytes} bytes`));
      });
      child.stderr?.on('data', (chunk: Buffer) => {
        complaint = `${complaint}${chunk.toString('latin1')}`.slice(-MAX_COMPLAINT_BYTES);
      });
      for (const stream of [child.stdout, child.stderr]) stream?.on('error', () => undefined);
      child.once('error', (cause) => {
        // Also emitted when a kill fails, and then the child is not over.
        if (child.pid !== undefined) return;
        release();
        reject(new LamplighterError('ERR_CHILD_FAILED', `${name} could not be started`, { cause }));
      });
      child.once('close', (code, signal) => {
        release();
        this.#isLeftBehind = false;
        if (fault === undefined) {
          const how = signal === null ? `code ${code ?? 'unknown'}` : `signal ${signal}`;
          resolve({ bytes: ownBytes(chunks, lengthBytes), how, complaint: shown(complaint) });
        } else {
          reject(asError(fault));
        }
        wipe(...chunks);
      });
    });
  }
}

/** A copy: what comes out of a pipe may be part of a larger buffer. */
function ownBytes(chunks: readonly Uint8Array[], lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

const asError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new Error('aborted', { cause: reason });

/** The last line, in which most programs say what it was. */
function shown(complaint: string): string {
  const lines = complaint.split('\n').filter((line) => line.trim() !== '');
  return (lines.at(-1) ?? '').replace(/[^\x20-\x7e]/g, '?').slice(-MAX_COMPLAINT_SHOWN);
}
