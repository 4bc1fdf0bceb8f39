import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import {
  compileAddon,
  compileFaults,
  inChild,
  needsAddon,
  temporaryFolder,
  misuse,
} from './addon.fixture.js';
import type { Addon } from './addon.js';
import { cpuRandom, cycleCounter, rdrand, rdseed } from './cpu.js';

const flags = new Set(
  readFileSync('/proc/cpuinfo', 'latin1')
    .match(/^(?:flags|Features)\s*:.*$/m)?.[0]
    .split(/\s+/),
);

const [SEED, RANDOM] = process.arch === 'arm64' ? ['RNDRRS', 'RNDR'] : ['RDSEED', 'RDRAND'];
const hasSeed = flags.has('rdseed') || flags.has('rng');
const hasRandom = flags.has('rdrand') || flags.has('rng');

needsAddon('the CPU', () => {
  const faults = compileFaults(temporaryFolder());

  describe('cycleCounter', () => {
    it('goes on', () => {
      const [first, second] = [cycleCounter(), cycleCounter()];
      if (!first.supported || !second.supported) throw new Error('no cycle counter');
      expect(second.value > first.value).toBe(true);
    });

    it.runIf(process.arch === 'x64')('says so where the process may not read it', () => {
      expect(inChild('tell(native.readCycles());', { faults, fault: 'prctl:0' })).toEqual([
        'this process may not read the cycle counter (PR_SET_TSC)',
      ]);
    });
  });

  describe.each([
    ['rdseed', rdseed, hasSeed, `this CPU has no ${SEED}|${SEED} gave nothing, however often it was asked`],
    ['rdrand', rdrand, hasRandom, `this CPU has no ${RANDOM}`],
    ['cpuRandom', cpuRandom, hasRandom, `this CPU has neither ${SEED} nor ${RANDOM}`],
  ])('%s', (_name, draw, mustHave, reason) => {
    it('gives as many bytes as asked for, and others every time; or a reason', () => {
      for (const lengthBytes of [1, 7, 8, 9, 16, 17, 32, 512]) {
        const [first, second] = [draw(lengthBytes), draw(lengthBytes)];
        const refused = [first, second].find((answer) => !answer.supported);
        if (refused !== undefined && !refused.supported) {
          expect(refused.reason).toMatch(new RegExp(`^(${reason})$`));
          if (refused.reason.startsWith('this CPU has')) expect(mustHave).toBe(false);
          continue;
        }
        if (!first.supported || !second.supported) throw new Error('no reason');
        expect(first.value).toHaveLength(lengthBytes);
        if (lengthBytes >= 8) expect(first.value).not.toEqual(second.value);
      }
    });

    it('refuses other lengths', () => {
      for (const lengthBytes of [0, -1, 513, 1.5, NaN, Infinity, 2 ** 32 + 8]) {
        expect(() => draw(lengthBytes)).toThrow(RangeError);
      }
      expect(misuse(draw, '8')).toThrow(TypeError);
    });
  });
});

needsAddon('the check for stuck output', () => {
  /** What the addon takes for "no word this time". */
  const NOTHING = 0x00ff00ff00ff00ffn;
  const file = compileAddon(temporaryFolder(), 'test', '-DLAMPLIGHTER_TEST');
  const native = createRequire(import.meta.url)(file) as Addon & {
    cpuRandomFrom(lengthBytes: number, seed: Uint8Array, random: Uint8Array): true | string;
  };

  /** `cpuRandom` with both instructions played by lists of words; an empty list is an instruction the CPU does not have. */
  function from(
    lengthBytes: number,
    seed: readonly bigint[],
    random: readonly bigint[] = [],
  ): bigint[] | string {
    const script = (words: readonly bigint[]): Uint8Array =>
      words.length === 0 ? new Uint8Array(1) : new Uint8Array(BigUint64Array.from(words).buffer);
    native.scratch.fill(0xee);
    const answer = native.cpuRandomFrom(lengthBytes, script(seed), script(random));
    const left = native.scratch.slice(0, lengthBytes);
    if (answer !== true) {
      const nothing = left.every((byte) => byte === 0 || byte === 0xee);
      expect(nothing, 'a refused answer is wiped, or never began').toBe(true);
      return answer;
    }
    expect(native.scratch.slice(lengthBytes), 'nothing beyond it is touched').toEqual(
      new Uint8Array(native.scratch.length - lengthBytes).fill(0xee),
    );
    return [...new BigUint64Array(left.buffer)];
  }
  const nothing = (times: number): bigint[] => Array<bigint>(times).fill(NOTHING);
  /** 1024 words for each 16 bytes: enough for one answer by RDRAND. No two are alike. */
  const samples = (count: number): bigint[] =>
    Array.from({ length: count }, (_, i) => BigInt(i + 1) * 0x9e37n);

  it('takes words as they come', () => {
    expect(from(24, [1n, 2n, 3n])).toEqual([1n, 2n, 3n]);
  });

  it('draws two words even for eight bytes', () => {
    expect(from(8, [7n, 7n])).toBe(`${SEED} is stuck: it repeats`);
  });

  it.each([
    ['all zeros', [1n, 2n, 0n]],
    ['all ones', [1n, 2n, 2n ** 64n - 1n]],
    ['it repeats', [1n, 2n, 2n]],
    ['it repeats', [1n, 2n, 1n]],
  ])('refuses RDSEED when it is stuck: %s', (what, words) => {
    expect(from(24, words)).toBe(`${SEED} is stuck: ${what}`);
  });

  it('does not hide a stuck RDSEED behind RDRAND', () => {
    expect(from(16, [1n, 1n], samples(1024))).toBe(`${SEED} is stuck: it repeats`);
  });

  it('asks RDSEED 500 times for a word, and not once more', () => {
    expect(from(16, [1n, ...nothing(499), 2n])).toEqual([1n, 2n]);
    expect(from(16, [1n, ...nothing(500), 2n])).toBe(`${SEED} gave nothing, however often it was asked`);
  });

  it('takes RDRAND when RDSEED runs dry or is missing, 512 samples folded into each 16 bytes', () => {
    const words = samples(2048);
    const fold = (start: number, end: number, parity: number): bigint =>
      words.slice(start, end).reduce((folded, word, i) => (i % 2 === parity ? folded ^ word : folded), 0n);
    const folded = [fold(0, 1024, 0), fold(0, 1024, 1), fold(1024, 2048, 0), fold(1024, 2048, 1)];
    expect(from(32, nothing(500), words)).toEqual(folded);
    expect(from(32, [], words)).toEqual(folded);
    expect(from(24, [], words)).toEqual(folded.slice(0, 3));
  });

  it('asks RDRAND 10 times for a word, and not once more', () => {
    const [first = 0n, ...others] = samples(1024);
    expect(from(16, [], [first, ...nothing(9), ...others])).toHaveLength(2);
    expect(from(16, [], [first, ...nothing(10), ...others])).toBe(
      `${RANDOM} gave nothing, however often it was asked`,
    );
  });

  it.each([
    ['all zeros', 0n],
    ['all ones', 2n ** 64n - 1n],
    ['it repeats', samples(1024)[699] ?? 0n],
  ])('refuses RDRAND when it gets stuck in the middle of a fold: %s', (what, word) => {
    expect(from(16, [], samples(1024).with(700, word))).toBe(`${RANDOM} is stuck: ${what}`);
  });

  it('gives none of it when only the second of two folds gets stuck', () => {
    expect(from(32, [], samples(2048).with(1500, 0n))).toBe(`${RANDOM} is stuck: all zeros`);
  });

  it('says so when the CPU has neither', () => {
    expect(from(16, [])).toBe(`this CPU has neither ${SEED} nor ${RANDOM}`);
  });
});
