import { describe, expect, it } from 'vitest';
import { KnownFiles } from './known-files.js';

describe('KnownFiles', () => {
  it('forgets the one longest not seen, and only when it is full', () => {
    const known = new KnownFiles(3);
    for (const file of ['a', 'b', 'c']) known.add(file);
    expect(known.has('a')).toBe(true);
    known.add('d');
    expect(['a', 'b', 'c', 'd'].map((file) => known.has(file))).toEqual([true, false, true, true]);
    expect(known.size).toBe(3);
  });

  it('counts a file once, and forgets it when told', () => {
    const known = new KnownFiles(3);
    known.add('a');
    known.add('a');
    expect(known.size).toBe(1);
    known.delete('a');
    expect(known.has('a')).toBe(false);
  });

  it('is bounded whatever it is told', () => {
    const known = new KnownFiles(100);
    for (let number = 0; number < 10_000; number += 1) known.add(String(number));
    expect(known.size).toBe(100);
  });
});
