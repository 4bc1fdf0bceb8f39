import nodeFs from 'node:fs/promises';
import {
  existsSync,
  type Mode,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { FileSystem } from './staged-file.js';

/** Thrown by everything that is done after the power failed. */
export class PowerCut extends Error {}

/** A change of names that its folder has not been told to keep. */
interface Unsynced {
  readonly folder: string;
  undo(): void;
}

/**
 * The real file system until the n-th call that could change something; from there on nothing works. What was not made durable
 * may then be lost: contents are, changes of names are undone as {@link FailingDisk.lose} says.
 */
export class FailingDisk {
  readonly fs: FileSystem;
  #callsLeft: number;
  #unsynced: Unsynced[] = [];
  readonly #unwritten = new Set<string>();

  /** @param calls - how many go well */
  constructor(calls: number) {
    this.#callsLeft = calls;
    this.fs = {
      lstat: nodeFs.lstat,
      stat: nodeFs.stat,
      readFile: nodeFs.readFile,
      readdir: nodeFs.readdir,
      realpath: nodeFs.realpath,
      rename: async (from, to) => this.#rename(String(from), String(to)),
      rm: async (path) => this.#remove(String(path)),
      open: async (path, ...more) => this.#open(String(path), ...more),
    };
  }

  /** Whether the power failed. */
  get isOff(): boolean {
    return this.#callsLeft < 0;
  }

  /** How many changes of names may be lost, in any combination. */
  get losable(): number {
    return this.#unsynced.length;
  }

  /** @param which - bit i: the i-th change of names that was not made durable is lost */
  lose(which: number): void {
    for (const [at, change] of [...this.#unsynced.entries()].reverse()) {
      if ((which & (1 << at)) !== 0) change.undo();
    }
    for (const path of this.#unwritten) if (existsSync(path)) truncateSync(path, 0);
  }

  #spend(): void {
    this.#callsLeft -= 1;
    if (this.#callsLeft < 0) throw new PowerCut('the power failed');
  }

  #rename(from: string, to: string): void {
    this.#spend();
    const before = contentOf(to);
    const moved = readFileSync(from);
    renameSync(from, to);
    if (this.#unwritten.delete(from)) this.#unwritten.add(to);
    const undo = (): void => {
      writeFileSync(from, moved, { mode: 0o600 });
      if (before === undefined) rmSync(to);
      else writeFileSync(to, before);
    };
    this.#unsynced.push({ folder: dirname(to), undo });
  }

  #remove(path: string): void {
    this.#spend();
    const before = contentOf(path);
    rmSync(path, { force: true });
    if (before === undefined) return;
    const undo = (): void => writeFileSync(path, before, { mode: 0o600 });
    this.#unsynced.push({ folder: dirname(path), undo });
  }

  async #open(path: string, ...more: [flags?: string | number, mode?: Mode]) {
    const isNew = more[0] === 'wx';
    if (isNew) this.#spend();
    const file = await nodeFs.open(path, ...more);
    if (isNew) this.#unwritten.add(path);
    return new Proxy(file, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          if (name !== 'close' && name !== 'stat' && name !== 'read') this.#spend();
          const result: unknown = await Reflect.apply(member, target, args);
          if (name === 'sync') this.#synced(path);
          return result;
        };
      },
    });
  }

  #synced(path: string): void {
    this.#unwritten.delete(path);
    this.#unsynced = this.#unsynced.filter(({ folder }) => folder !== path);
  }
}

function contentOf(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
