import type { FileIdentity } from './open-folder.js';

/** Files that were heard and could not be removed. Bounded: the one longest not seen is forgotten first, and then heard again. */
export class KnownFiles {
  readonly #files = new Set<FileIdentity>();
  readonly #limit: number;

  /** @param limit - ≥ the entries of one look, or a full folder would make it forget what it still sees */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#files.size;
  }

  /** Whether it was heard; if so it counts as seen just now. */
  has(file: FileIdentity): boolean {
    if (!this.#files.delete(file)) return false;
    this.#files.add(file);
    return true;
  }

  add(file: FileIdentity): void {
    this.#files.delete(file);
    this.#files.add(file);
    for (const oldest of this.#files) {
      if (this.#files.size <= this.#limit) return;
      this.#files.delete(oldest);
    }
  }

  delete(file: FileIdentity): void {
    this.#files.delete(file);
  }
}
