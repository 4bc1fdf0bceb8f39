import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

/**
 * For tests: mounts that nobody else sees, and that are gone with the process that holds them, which ends with ours whatever
 * becomes of it. Root only.
 */
export class MountNamespace {
  readonly #holder: ChildProcess;
  readonly #pid: string;

  static async make(): Promise<MountNamespace> {
    // `cat` ends at the end of its input, and so with the process that holds the other end.
    const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const echo = once(holder.stdout, 'data');
    holder.stdin.write('.');
    // What it sends back says that `cat` runs, in its own namespace.
    await Promise.race([echo, once(holder, 'exit').then(() => Promise.reject(new Error('unshare failed')))]);
    return new MountNamespace(holder);
  }

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
    this.#pid = String(holder.pid);
  }

  /** Runs a command in it. */
  get prefix(): readonly string[] {
    return ['nsenter', '--target', this.#pid, '--mount', '--'];
  }

  /** A file in it, as those outside can name it. */
  path(file: string): string {
    return path.join('/proc', this.#pid, 'root', file);
  }

  /** Runs a command in it to its end. @returns its exit code */
  run(...command: readonly string[]): number {
    const [nsenter = '', ...rest] = [...this.prefix, ...command];
    try {
      execFileSync(nsenter, rest, { stdio: 'pipe' });
      return 0;
    } catch (error) {
      const { status } = error as { status?: number };
      if (typeof status !== 'number') throw error;
      return status;
    }
  }

  /** @throws Error when it cannot be mounted */
  mount(...options: readonly string[]): void {
    if (this.run('mount', ...options) !== 0) throw new Error(`mount ${options.join(' ')} failed`);
  }

  async end(): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    this.#holder.stdin?.end();
    await once(this.#holder, 'exit');
  }
}
