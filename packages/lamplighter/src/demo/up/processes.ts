import type { ChildProcess, StdioOptions } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';

const PROGRAM = fileURLToPath(new URL('../../../bin/lamplighter.js', import.meta.url));
const RESTART_AFTER_MS = 1_000;
const LOG_TAIL_BYTES = 2_000;

/** A `lamplighter …` command as a user would type it. */
export type CommandLine = readonly string[];

/**
 * Runs a command to its end.
 * @param signal - tells it to stop (SIGTERM); its end is waited for all the same
 * @returns its exit code and standard output; standard error goes to its log file
 */
export async function runToEnd(
  environment: Environment,
  args: CommandLine,
  log: string,
  signal?: AbortSignal,
): Promise<{ code: number; output: string }> {
  const file = await environment.fs.open(log, 'a', 0o600);
  let child: ChildProcess | undefined;
  const stop = (): void => void child?.kill('SIGTERM');
  signal?.addEventListener('abort', stop, { once: true });
  try {
    child = start(environment, args, ['ignore', 'pipe', file.fd]);
    if (signal?.aborted === true) stop();
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    return { code: await ended(child), output };
  } finally {
    signal?.removeEventListener('abort', stop);
    await file.close();
  }
}

/** A long-lived command that is started again when it ends by itself. */
export class Service {
  readonly name: string;
  readonly args: CommandLine;
  readonly #environment: Environment;
  readonly #log: string;
  readonly #onEnd: (error: LamplighterError) => void;
  readonly #stopping = new AbortController();
  #child: ChildProcess | undefined;
  #running: Promise<void> | undefined;

  /** @param onEnd - hears every end that was not asked for, before the restart */
  constructor(
    name: string,
    args: CommandLine,
    environment: Environment,
    logs: string,
    onEnd: (error: LamplighterError) => void,
  ) {
    this.name = name;
    this.args = args;
    this.#environment = environment;
    this.#log = join(logs, `${name}.log`);
    this.#onEnd = onEnd;
  }

  start(): void {
    this.#running = this.#keepRunning();
  }

  /** SIGTERM; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#child?.kill('SIGTERM');
    await this.#running;
  }

  /** SIGKILL, for when {@link Service.stop} takes too long. */
  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  async #keepRunning(): Promise<void> {
    const { signal } = this.#stopping;
    const { fs, timers } = this.#environment;
    while (!signal.aborted) {
      const log = await fs.open(this.#log, 'a', 0o600);
      this.#child = start(this.#environment, this.args, ['ignore', 'ignore', log.fd]);
      if (signal.aborted) this.#child.kill('SIGTERM');
      const code = await ended(this.#child);
      await log.close();
      if (signal.aborted) return;
      this.#onEnd(await this.#failure(code));
      await timers.sleep(RESTART_AFTER_MS, signal).catch(() => undefined);
    }
  }

  async #failure(code: number): Promise<LamplighterError> {
    const log = await this.#environment.fs.readFile(this.#log);
    const tail = log.subarray(-LOG_TAIL_BYTES).toString('utf8').trimEnd().split('\n').slice(-2).join('; ');
    return new LamplighterError('ERR_CHILD_EXITED', `${this.name} ended with ${code}: ${tail}`, {
      hint: `its log is ${this.#log}`,
    });
  }
}

/** What runs now. However this process ends (an error, a second Ctrl-C), these end with it; only SIGKILL escapes that. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** In a group of its own: Ctrl-C reaches `up` alone, which then stops everything in order. */
function start(environment: Environment, args: CommandLine, stdio: StdioOptions): ChildProcess {
  const child = environment.spawn(process.execPath, [PROGRAM, ...args], { stdio, detached: true });
  running.add(child);
  child.once('error', () => running.delete(child));
  child.once('exit', () => running.delete(child));
  return child;
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('error', () => resolve(127));
    child.once('close', (code) => resolve(code ?? 1));
  });
}
