import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HmacDrbg } from './drbg/hmac-drbg.js';
import { FortunaGenerator } from './fortuna/generator.js';
import { initializeGenerator, pseudoRandomData, reseed } from './fortuna/generator-steps.js';
import { adaptiveProportionCutoff, repetitionCountCutoff } from './health/cutoffs.js';
import { hkdfExpand, hkdfExtract } from './hkdf.js';
import { type HashName, hmac } from './hmac.js';

// Runs every row of every file of known answers. LAMPLIGHTER_VECTORS names their folder; its README says their origin.
// Without it these tests are skipped, by name; a few rows of each file stand in the tests beside the code.

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** One JSON object from outside, read field by field; a field that is not as expected fails the test by name. */
class Row {
  readonly #fields: ReadonlyMap<string, unknown>;

  constructor(value: unknown) {
    if (typeof value !== 'object' || value === null) throw new TypeError('a row is not an object');
    this.#fields = new Map<string, unknown>(Object.entries(value));
  }

  rows(name: string): Row[] {
    return rowsOf(this.#fields.get(name));
  }
  text(name: string): string {
    const value = this.#fields.get(name);
    if (typeof value !== 'string') throw new TypeError(`${name} is not a text`);
    return value;
  }
  number(name: string): number {
    const value = this.#fields.get(name);
    if (typeof value !== 'number') throw new TypeError(`${name} is not a number`);
    return value;
  }
  bytes(name: string): Buffer {
    const text = this.text(name);
    const bytes = Buffer.from(text, 'hex');
    if (bytes.length * 2 !== text.length) throw new TypeError(`${name} is not hexadecimal`);
    return bytes;
  }
  optionalBytes(name: string): Buffer | undefined {
    return this.#fields.has(name) ? this.bytes(name) : undefined;
  }
  is(name: string, value: unknown): boolean {
    return this.#fields.get(name) === value;
  }
}

function rowsOf(value: unknown): Row[] {
  if (!Array.isArray(value) || value.length === 0) throw new TypeError('no rows');
  return value.map((row: unknown) => new Row(row));
}

/** What to do with each file. */
const FILES: Record<string, (contents: unknown) => void> = {
  'fortuna/generator.json': fortunaGenerator,
  'health/cutoffs.json': cutoffs,
  'hmac-drbg/hmac_drbg_sha256.json': drbgSha256,
  'hmac-drbg/hmac_drbg_sha512_pr_false_reseed.json': drbgSha512,
  'rfc/rfc4231_hmac.json': rfc4231,
  'rfc/rfc5869_hkdf.json': rfc5869,
};

const folder = process.env['LAMPLIGHTER_VECTORS'] ?? '';

describe.skipIf(folder === '')('the known answers in LAMPLIGHTER_VECTORS', () => {
  it('are all known here: no file is passed over', () => {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.json'),
    );
    expect(files.sort()).toEqual(Object.keys(FILES).sort());
  });

  it.each(Object.entries(FILES))('%s', (file, check) => {
    const contents: unknown = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    check(contents);
  });
});

function fortunaGenerator(contents: unknown): void {
  for (const vector of new Row(contents).rows('vectors')) {
    const variant = vector.is('shad', 'fsk') ? 'book' : 'plain';
    expect(vector.text('shad')).toBe(variant === 'book' ? 'fsk' : 'plain');
    const seed = vector.bytes('seed');

    const generator = new FortunaGenerator({ shad256: variant });
    generator.reseed(seed);
    const G = initializeGenerator();
    reseed(G, seed, variant);
    expect(hex(G.key)).toBe(vector.text('key_after_reseed'));
    for (const step of vector.rows('steps')) {
      expect(hex(pseudoRandomData(G, step.number('n')))).toBe(step.text('out'));
      expect(hex(G.key)).toBe(step.text('key_after'));
      const counter = Buffer.from(
        BigInt(step.text('ctr_after')).toString(16).padStart(32, '0'),
        'hex',
      ).reverse();
      expect(hex(G.counter)).toBe(hex(counter));
      expect(hex(generator.generate(step.number('n')))).toBe(step.text('out'));
    }
  }
}

function drbgSha256(contents: unknown): void {
  for (const group of new Row(contents).rows('groups')) {
    expect(group.text('Digest')).toBe('SHA-256');
    const predictionResistance = group.is('PredictionResistance', '1');
    for (const test of group.rows('tests')) {
      const drbg = HmacDrbg.instantiate({
        hash: 'sha256',
        entropy: test.bytes('Entropy'),
        nonce: test.bytes('Nonce'),
        personalization: test.optionalBytes('PersonalisationString'),
      });
      const generate = (call: 'A' | 'B'): Uint8Array => {
        const additionalInput = test.optionalBytes(`AdditionalInput${call}`);
        const lengthBytes = Number(group.text('GenerateBits')) / 8;
        if (!predictionResistance) return drbg.generate(lengthBytes, { additionalInput });
        drbg.reseed({ entropy: test.bytes(`EntropyPredictionResistance${call}`), additionalInput });
        return drbg.generate(lengthBytes);
      };
      generate('A');
      expect(hex(generate('B'))).toBe(test.text('Output'));
    }
  }
}

/** Here entropy, nonce and personalization stand in one field, entropy and additional input of the reseed in another. */
function drbgSha512(contents: unknown): void {
  for (const test of new Row(contents).rows('tests')) {
    const material = test.bytes('EntropyInput');
    const drbg = HmacDrbg.instantiate({
      hash: 'sha512',
      entropy: material.subarray(0, 32),
      nonce: material.subarray(32, 48),
      personalization: material.subarray(48),
    });
    const reseedMaterial = test.bytes('EntropyInputReseed');
    drbg.reseed({ entropy: reseedMaterial.subarray(0, 32), additionalInput: reseedMaterial.subarray(32) });
    const expected = test.bytes('Out');
    drbg.generate(expected.length, { additionalInput: test.optionalBytes('AdditionalInput1') });
    const output = drbg.generate(expected.length, {
      additionalInput: test.optionalBytes('AdditionalInput2'),
    });
    expect(hex(output)).toBe(hex(expected));
  }
}

function rfc4231(contents: unknown): void {
  for (const row of rowsOf(contents)) {
    for (const hash of ['sha256', 'sha512'] as const satisfies readonly HashName[]) {
      const mac = hex(hmac(hash, row.bytes('key'), row.bytes('data')));
      const expected = row.text(hash);
      // Case 5 is truncated to 128 bits.
      expect(row.is('truncated', true) ? mac.slice(0, 32) : mac).toBe(expected);
    }
  }
}

function rfc5869(contents: unknown): void {
  const sha1Cases: number[] = [];
  for (const row of rowsOf(contents)) {
    if (row.is('hash', 'sha1')) {
      sha1Cases.push(row.number('case'));
      continue;
    }
    expect(row.text('hash')).toBe('sha256');
    const prk = hkdfExtract(row.bytes('salt'), row.bytes('IKM'), 'sha256');
    expect(hex(prk)).toBe(row.text('PRK'));
    expect(hex(hkdfExpand(prk, row.bytes('info'), row.number('L'), 'sha256'))).toBe(row.text('OKM'));
  }
  // SHA-1 is not offered, so the RFC's cases for it, A.4 to A.7, cannot run; no other is passed over.
  expect(sha1Cases).toEqual([4, 5, 6, 7]);
}

function cutoffs(contents: unknown): void {
  for (const row of new Row(contents).rows('rows')) {
    const options = { minEntropyBits: row.number('H'), alphaLog2: row.number('alpha_log2') };
    expect(repetitionCountCutoff(options)).toBe(row.number('RCT_C'));
    for (const windowSize of [512, 1024]) {
      expect(adaptiveProportionCutoff({ ...options, windowSize })).toBe(
        row.number(`APT_C_W${windowSize}_spec`),
      );
      expect(adaptiveProportionCutoff({ ...options, windowSize, rule: 'corrected' })).toBe(
        row.number(`APT_C_W${windowSize}_corrected`),
      );
    }
  }
}
