import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { findProgram, searchPath } from '../find-program.js';

/** What a child that was told to end is given before it is made to. */
const GRACE_MS = 1_000;
/**
 * When a program is gone its pipes are read to the end, at whatever pace, unless somebody else holds the other end:
 * two looks in a row find them open and nothing in them.
 */
const DRAIN_LOOK_MS = 500;

/** A program at work. */
export interface LeashedChild {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when it is gone and both pipes are closed, to how it ended: `code 1`, `signal SIGKILL`. Never rejects. */
  readonly over: Promise<string>;
}

/**
 * Starts a program that cannot outlive us, and ends it, with all it has started, when the signal fires.
 *
 * It has a session of its own, no shell, no input, no privileges to gain, no variable but PATH, and `/` to stand in.
 * `setpriv --pdeathsig KILL` makes the kernel end it with us, even when we are killed. What it starts itself stays in
 * its process group unless it leaves it on purpose; such a process is beyond our reach, but its pipe is closed.
 *
 * @param program - a bare name, looked for on PATH, or an absolute path
 * @param options - `signal`: SIGTERM to the group, SIGKILL a second later; `descriptors`: open files handed on as
 *   descriptors 3, 4 …
 * @throws LamplighterError ERR_CHILD_FAILED when it cannot be started; the signal's reason when that has fired
 */
export async function startLeashed(
  program: string,
  args: readonly string[],
  options: { readonly signal: AbortSignal; readonly descriptors?: readonly number[] },
  environment: Environment,
): Promise<LeashedChild> {
  const { signal, descriptors = [] } = options;
  const file = await found(program, 'install it, or write its absolute path', environment);
  const setpriv = await found('setpriv', 'apt-get install util-linux', environment);
  signal.throwIfAborted();
  const child = await spawned(program, environment, () =>
    environment.spawn(setpriv, ['--pdeathsig', 'KILL', '--no-new-privs', '--', file, ...args], {
      cwd: '/',
      env: { PATH: searchPath() },
      stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
      detached: true,
    }),
  );
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new TypeError('a leashed child has pipes');
  return { stdout, stderr, over: over(child, [stdout, stderr], signal, environment) };
}

async function found(program: string, hint: string, environment: Environment): Promise<string> {
  const file = await findProgram(program, environment);
  if (file !== undefined) return file;
  throw new LamplighterError('ERR_CHILD_FAILED', `there is no program ${program} that we may run`, { hint });
}

async function spawned(
  program: string,
  environment: Environment,
  spawn: () => ChildProcess,
): Promise<ChildProcess> {
  let cause: unknown;
  try {
    const child = spawn();
    if (child.pid !== undefined) return child;
    child.once('error', (error) => {
      cause = error;
    });
    await environment.timers.turn();
  } catch (error) {
    // Some failures, such as too long a list of arguments, are thrown instead.
    cause = error;
  }
  throw new LamplighterError('ERR_CHILD_FAILED', `${program} could not be started`, { cause });
}

function over(
  child: ChildProcess,
  pipes: readonly Readable[],
  signal: AbortSignal,
  environment: Environment,
): Promise<string> {
  const { pid } = child;
  return new Promise((resolve) => {
    let last: { cancel(): void } | undefined;
    const closePipes = (): void => {
      for (const pipe of pipes) pipe.destroy();
    };
    const end = (): void => {
      killGroup(pid, 'SIGTERM');
      // Nothing more is heard from here on, and nobody reads what a deaf program goes on saying.
      closePipes();
      last = environment.timers.after(GRACE_MS, () => killGroup(pid, 'SIGKILL'));
    };
    for (const pipe of pipes) pipe.on('error', () => undefined);
    child.on('error', () => undefined);
    const isDrained = (): boolean =>
      pipes.every((pipe) => pipe.destroyed || (!pipe.isPaused() && pipe.readableLength === 0));
    let looks = 0;
    const lookAfter = (): void => {
      looks = isDrained() ? looks + 1 : 0;
      if (looks >= 2) closePipes();
    };
    child.once('exit', () => {
      signal.removeEventListener('abort', end);
      signal.addEventListener('abort', closePipes, { once: true });
      last?.cancel();
      // In the same turn in which the program's number became free: the group may still be alive, and bear it.
      killGroup(pid, 'SIGKILL');
      last = environment.timers.every(DRAIN_LOOK_MS, lookAfter);
    });
    child.once('close', (code, endSignal) => {
      last?.cancel();
      signal.removeEventListener('abort', closePipes);
      resolve(endSignal === null ? `code ${code ?? 'unknown'}` : `signal ${endSignal}`);
    });
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

function killGroup(pid: number | undefined, name: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch {
    // Nobody is left in it.
  }
}
