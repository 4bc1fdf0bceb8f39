import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WaitingLine } from './waiting-line.js';

const member = (group: string, number = 0): { group: string; number: number } => ({ group, number });

function lineOf(...groups: string[]): WaitingLine<{ group: string; number: number }> {
  const line = new WaitingLine<{ group: string; number: number }>();
  for (const [number, group] of groups.entries()) line.add(member(group, number));
  return line;
}

const anybody = (): boolean => true;

describe('WaitingLine', () => {
  it('lets groups take turns, each in the order its members came', () => {
    const line = lineOf('a', 'a', 'a', 'b', 'c', 'c');
    const taken = Array.from({ length: 7 }, () => line.take(anybody));
    expect(taken.map((one) => one && `${one.group}${one.number}`)).toEqual([
      'a0',
      'b3',
      'c4',
      'a1',
      'c5',
      'a2',
      undefined,
    ]);
    expect(line.size).toBe(0);
  });

  it('passes over a group that may not have a turn, and does not move it', () => {
    const line = lineOf('a', 'b', 'a');
    expect(line.take((group) => group !== 'a')?.group).toBe('b');
    expect(line.take((group) => group !== 'a')).toBeUndefined();
    expect(line.take(anybody)?.number).toBe(0);
  });

  it('knows the group with the most, and of several the one whose turn comes last', () => {
    expect([...lineOf('a', 'b', 'b', 'c').longest()].map(({ number }) => number)).toEqual([1, 2]);
    expect([...lineOf('a', 'b', 'c').longest()].map(({ group }) => group)).toEqual(['c']);
    expect(lineOf().longest().size).toBe(0);
  });

  it('gives everybody exactly once, whatever is added, deleted and taken', () => {
    const step = fc.record({
      what: fc.constantFrom('add', 'delete', 'take'),
      group: fc.constantFrom('a', 'b', 'c'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const line = new WaitingLine<{ group: string; number: number }>();
        const inside = new Set<{ group: string; number: number }>();
        for (const [number, { what, group }] of steps.entries()) {
          if (what === 'add') {
            const one = member(group, number);
            line.add(one);
            line.add(one);
            inside.add(one);
          } else if (what === 'take') {
            const one = line.take(anybody);
            expect(one !== undefined).toBe(inside.size > 0);
            if (one !== undefined) expect(inside.delete(one)).toBe(true);
          } else {
            const [one] = inside;
            if (one !== undefined) expect(line.delete(one)).toBe(inside.delete(one));
            expect(line.delete(member(group))).toBe(false);
          }
          expect(line.size).toBe(inside.size);
          expect(new Set(line)).toEqual(inside);
          for (const name of ['a', 'b', 'c']) {
            expect(line.sizeOf(name)).toBe([...inside].filter((one) => one.group === name).length);
          }
        }
      }),
    );
  });
});

describe('WaitingLine, out of turn', () => {
  const ranks: Readonly<Record<string, number>> = { a: 3, b: 1, c: 2 };
  const rank = (group: string): number => ranks[group] ?? 0;

  it('takes from the group of the least rank that may, which then has had its turn', () => {
    const line = lineOf('a', 'b', 'c', 'b');
    expect(line.takeLeast(anybody, rank)?.number).toBe(1);
    expect(line.takeLeast((group) => group !== 'b', rank)?.group).toBe('c');
    expect(line.take(anybody)?.group).toBe('a');
    expect(line.takeLeast((group) => group !== 'b', rank)).toBeUndefined();
    expect(line.takeLeast(anybody, rank)?.number).toBe(3);
    expect(line.size).toBe(0);
  });

  it('knows of several groups with the most the one of the highest rank', () => {
    expect([...lineOf('b', 'a', 'c').longest(rank)].map(({ group }) => group)).toEqual(['a']);
    expect([...lineOf('a', 'b', 'b').longest(rank)].map(({ number }) => number)).toEqual([1, 2]);
  });
});
