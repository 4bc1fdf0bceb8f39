import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import type { NodeStatus, OutletStatus, SourceStatus } from '../packages/lamplighter/dist/wire/status.js';
import { descendants, signalAll } from './proc.fixture.js';

const PROGRAM = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));
/** More than any command that ends by itself may take, `up --once` on a busy machine included. */
const RUN_DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 20;

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Since it was started, or since the signal that {@link Command.stop} sent. */
  readonly tookMs: number;
}

const running = new Set<Command>();

/** For tests: one `lamplighter …` command as a process of its own, and everything it has said so far. */
export class Command {
  readonly args: readonly string[];
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';

  /** @param options - `env` is added to ours; a value of undefined takes one away; `program`: another build's than ours */
  constructor(
    args: readonly string[],
    options: { env?: NodeJS.ProcessEnv; cwd?: string; program?: string } = {},
  ) {
    const startedMs = performance.now();
    this.args = args;
    this.#child = spawn(process.execPath, [options.program ?? PROGRAM, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.ended = once(this.#child, 'close').then(() => {
      running.delete(this);
      const { exitCode: code, signalCode: signal } = this.#child;
      return { code, signal, tookMs: performance.now() - startedMs };
    });
    running.add(this);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Stops reading what it says, as a terminal that was closed does. */
  hangUp(): void {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Sends a signal and waits for the end. */
  async stop(name: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    const askedMs = performance.now();
    this.#child.kill(name);
    const { code, signal } = await this.ended;
    return { code, signal, tookMs: performance.now() - askedMs };
  }
}

/** For tests, in `afterEach`: kills every command that still runs, and whatever it started. */
export async function endAll(): Promise<void> {
  const commands = [...running];
  const pids = commands.flatMap(({ pid }) => descendants(pid));
  for (const command of commands) command.signal('SIGKILL');
  signalAll(pids, 'SIGKILL');
  await Promise.all(commands.map(({ ended }) => ended));
}

/** For tests: runs a command to its end. */
export async function run(
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; program?: string } = {},
): Promise<Ended & { stdout: string; stderr: string }> {
  const command = new Command(args, options);
  const timer = setTimeout(() => command.signal('SIGKILL'), RUN_DEADLINE_MS);
  const ended = await command.ended;
  clearTimeout(timer);
  return { ...ended, stdout: command.stdout, stderr: command.stderr };
}

/**
 * For tests: waits until a condition holds.
 * @param what - named when the deadline passes
 * @param condition - gives what is waited for, or undefined or false for "not yet"
 * @throws Error after `deadlineMs`
 */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** For tests: ports on 127.0.0.1 that were free a moment ago. */
export async function freePorts<const N extends readonly string[]>(
  ...names: N
): Promise<Record<N[number], number>> {
  const servers = names.map(() => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return Object.fromEntries(names.map((name, i) => [name, ports[i]])) as Record<N[number], number>;
}

/** For tests: whether anything accepts connections on a port of 127.0.0.1. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** For tests: what a node says of itself; undefined when it does not answer. */
export async function statusOf(adminPort: number): Promise<NodeStatus | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${adminPort}/v1/status`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(5_000),
    });
    return (await response.json()) as NodeStatus;
  } catch {
    return undefined;
  }
}

/** For tests: waits until a node's status is as it should be, and gives it. */
export function untilStatus(
  adminPort: number,
  what: string,
  condition: (status: NodeStatus) => boolean,
  deadlineMs?: number,
): Promise<NodeStatus> {
  return eventually(
    what,
    async () => {
      const status = await statusOf(adminPort);
      return status !== undefined && condition(status) && status;
    },
    deadlineMs,
  );
}

/** For tests: one source or outlet of a status, by its name. @throws Error when there is none */
export function partOf(status: NodeStatus, list: 'sources', name: string): SourceStatus;
export function partOf(status: NodeStatus, list: 'outlets', name: string): OutletStatus;
export function partOf(
  status: NodeStatus,
  list: 'sources' | 'outlets',
  name: string,
): SourceStatus | OutletStatus {
  const part = status[list].find((entry) => entry.name === name);
  if (part === undefined) throw new Error(`${status.name} has no ${name} among its ${list}`);
  return part;
}
