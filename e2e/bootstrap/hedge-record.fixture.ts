import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { ClientHello } from './client-hello.fixture.js';

/** One HMAC(key, x) for the hedge of TLS, as hedge-recorder.fixture.ts saw it in the process that computed it. */
export interface HedgeUse {
  /** A hash of it. */
  readonly key: string;
  /** The labelled fields as hex; undefined where one was absent. */
  readonly x: ReadonlyMap<string, string | undefined>;
  /** A hash of it. */
  readonly output: string;
}

/** For tests: every use that one process made. */
export function readUses(file: string): readonly HedgeUse[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => {
      const { key, x, output } = JSON.parse(line) as { key: string; x: string; output: string };
      return { key, x: fieldsOf(Buffer.from(x, 'hex')), output };
    });
}

/** For tests: the fields of x in which two uses differ, and those in which they do not. */
export function compared(a: HedgeUse, b: HedgeUse): { differ: string[]; same: string[] } {
  const labels = [...a.x.keys()];
  expect([...b.x.keys()]).toEqual(labels);
  return {
    differ: labels.filter((label) => a.x.get(label) !== b.x.get(label)),
    same: labels.filter((label) => a.x.get(label) === b.x.get(label)),
  };
}

/** For tests: prints what told two uses apart. @returns the fields that did */
export function tellApart(what: string, a: HedgeUse | undefined, b: HedgeUse | undefined): string[] {
  if (a === undefined || b === undefined) throw new Error(`${what}: there was no hedge`);
  const { differ, same } = compared(a, b);
  const seeds = a.key === b.key ? 'the same seed' : 'two seeds';
  const by = differ.length === 0 ? 'nothing' : differ.join(', ');
  console.log(`${what}: ${seeds}; x told apart by ${by}; the same in both: ${same.join(', ') || 'nothing'}`);
  return differ;
}

/**
 * For tests: what must never be seen twice. HMAC outputs, ClientHello randoms and key shares are; keys are too, unless a seed
 * could not be rotated, or came back from a backup: then `isKeyAgain` says so.
 */
export class NeverTwice {
  readonly #seen = new Map<string, string>();

  /** @param what - which run, for the message of a failure */
  note(
    what: string,
    { uses, hellos }: { readonly uses: readonly HedgeUse[]; readonly hellos: readonly ClientHello[] },
    { isKeyAgain = false } = {},
  ): void {
    for (const { key, output } of uses) {
      this.#add(`HMAC output ${output}`, what);
      if (!isKeyAgain) this.#add(`key ${key}`, what);
    }
    for (const { random, keyShares } of hellos) {
      this.#add(`ClientHello random ${random}`, what);
      expect(Object.keys(keyShares).length).toBeGreaterThan(0);
      for (const [group, share] of Object.entries(keyShares)) this.#add(`${group} ${share}`, what);
    }
  }

  get size(): number {
    return this.#seen.size;
  }

  #add(value: string, what: string): void {
    const before = this.#seen.get(value);
    if (before !== undefined) throw new Error(`${value}: seen in ${before}, and again in ${what}`);
    this.#seen.set(value, what);
  }
}

/** E("hedge", …) read back (DESIGN section 5). */
function fieldsOf(encoded: Buffer): Map<string, string | undefined> {
  const fields = new Map<string, string | undefined>();
  let at = 0;
  const take = (lengthBytes: number): Buffer => encoded.subarray(at, (at += lengthBytes));
  const text = (): string => take(take(1).readUInt8()).toString('latin1');
  text();
  take(1);
  for (let left = take(2).readUInt16BE(); left > 0; left -= 1) {
    const label = text();
    const isPresent = take(1).readUInt8() === 1;
    const bytes = take(Number(take(8).readBigUInt64BE()));
    fields.set(label, isPresent ? bytes.toString('hex') : undefined);
  }
  if (at !== encoded.length) throw new Error('this is no encoding');
  return fields;
}
