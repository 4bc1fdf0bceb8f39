import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AdaptiveProportionTest } from './adaptive-proportion.js';
import { adaptiveProportionCutoff, repetitionCountCutoff } from './cutoffs.js';
import { RepetitionCountTest } from './repetition-count.js';

// Drives both running tests to failure at the cutoffs of every row of the known answers; see vectors.test.ts.

const folder = process.env['LAMPLIGHTER_VECTORS'] ?? '';

interface Row {
  readonly options: { readonly minEntropyBits: number; readonly alphaLog2: number };
  readonly rct: number;
  readonly apt: ReadonlyMap<number, number>;
}

describe.skipIf(folder === '')('the cutoffs in LAMPLIGHTER_VECTORS', () => {
  it('stuck samples fail the repetition count test at C, in every row', () => {
    for (const { options, rct } of rows()) {
      expect(repetitionCountCutoff(options)).toBe(rct);
      expect(firstFailure(new RepetitionCountTest({ cutoff: rct }), rct + 1)).toBe(rct);
    }
  });

  it('stuck samples fail the adaptive proportion test at C, in every row, once a window', () => {
    for (const { options, apt } of rows()) {
      for (const [windowSize, cutoff] of apt) {
        expect(adaptiveProportionCutoff({ ...options, windowSize })).toBe(cutoff);
        const test = new AdaptiveProportionTest({ cutoff, windowSize });
        expect(firstFailure(test, windowSize)).toBe(cutoff);
        for (let at = cutoff; at < 3 * windowSize; at += 1) test.push(0);
        expect(test.failures).toBe(3);
      }
    }
  });
});

/** Which of so many equal samples is the first to fail, counted from 1. */
function firstFailure(test: { push(sample: number): boolean }, samples: number): number | undefined {
  for (let nth = 1; nth <= samples; nth += 1) if (test.push(0)) return nth;
  return undefined;
}

function rows(): Row[] {
  const contents: unknown = JSON.parse(readFileSync(join(folder, 'health/cutoffs.json'), 'utf8'));
  const list = field(contents, 'rows');
  if (!Array.isArray(list) || list.length === 0) throw new TypeError('no rows');
  return list.map((row: unknown) => ({
    options: { minEntropyBits: number(row, 'H'), alphaLog2: number(row, 'alpha_log2') },
    rct: number(row, 'RCT_C'),
    apt: new Map([512, 1024].map((W) => [W, number(row, `APT_C_W${W}_spec`)])),
  }));
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

function number(row: unknown, name: string): number {
  const value = field(row, name);
  if (typeof value !== 'number') throw new TypeError(`${name} is not a number`);
  return value;
}
