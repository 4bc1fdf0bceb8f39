import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What Linux says of a process in /proc. One that is gone has nothing of anything. */

/** For tests: whether a process runs; one that is dead but not yet reaped does not. */
export function runs(pid: number): boolean {
  const state = stat(pid)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** For tests: every process that a process started, and those that these started. */
export function descendants(pid: number): number[] {
  const parents = new Map(pids().map((child) => [child, stat(child)?.parent]));
  const found = new Set([pid]);
  for (let before = 0; before < found.size;) {
    before = found.size;
    for (const [child, parent] of parents) if (parent !== undefined && found.has(parent)) found.add(child);
  }
  found.delete(pid);
  return [...found].filter(runs);
}

/** For tests: sends a signal to each of these processes that is still there. */
export function signalAll(these: readonly number[], name: NodeJS.Signals): void {
  for (const pid of these) {
    try {
      process.kill(pid, name);
    } catch {
      // Gone already, with its parent.
    }
  }
}

/** For tests: every process that has a variable of its environment set to this. */
export function withEnvironment(variable: string, value: string): number[] {
  return pids().filter((pid) => environmentOf(pid).includes(`${variable}=${value}`) && runs(pid));
}

/** For tests: the arguments of a process. */
export const commandLineOf = (pid: number): string[] => lines(pid, 'cmdline');

/** For tests: the environment a process was started with, `NAME=value`. */
export const environmentOf = (pid: number): string[] => lines(pid, 'environ');

/** For tests: how many sockets a process holds. */
export const openSockets = (pid: number): number =>
  openFiles(pid).filter((target) => target.startsWith('socket:')).length;

/** For tests: what a process holds open: paths, and `socket:[…]`, `pipe:[…]` and the like. */
export function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

/** For tests: resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kibibytes ?? Number.NaN) * 1024;
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

function lines(pid: number, file: 'cmdline' | 'environ'): string[] {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

function stat(pid: number): { state: string; parent: number } | undefined {
  try {
    // A name may hold anything, so the fields are counted from its last bracket.
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}
