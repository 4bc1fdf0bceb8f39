import fs from 'node:fs/promises';
import type { FileSystem } from './key-files.js';

/** Calls that change something. */
const CHANGES: readonly (string | symbol)[] = ['link', 'mkdir', 'open', 'rename', 'rm', 'sync', 'writeFile'];

/** For tests: the real file system until the process dies: the n-th change does not happen, nor does anything after it. */
export class MortalFileSystem {
  readonly fs: FileSystem;
  /** Changes that were made or tried. */
  changes = 0;
  readonly #most: number;

  /** @param most - how many changes are made */
  constructor(most: number) {
    this.#most = most;
    this.fs = this.#mortal(fs);
  }

  get isDead(): boolean {
    return this.changes > this.#most;
  }

  #mortal<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (_target, name): unknown => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          if (CHANGES.includes(name) && !(name === 'open' && args[1] === 'r')) this.changes += 1;
          // A file is closed when a process dies.
          if (this.isDead && name !== 'close') throw new Error('dead');
          const result: unknown = await Reflect.apply(member, target, args);
          return name === 'open' ? this.#mortal(result as object) : result;
        };
      },
    });
  }
}
