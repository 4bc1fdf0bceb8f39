import { describe, expect, it } from 'vitest';
import { type LateAnswer, type LibrarySource, MAX_ANSWER_BYTES, OwnSources } from './own-sources.js';

const nobody: LateAnswer = () => {
  throw new Error('nothing was to come later');
};

describe('own sources', () => {
  it('gives a part for each, in the order of labels, absent where there is nothing', () => {
    const own = new OwnSources(
      [
        { name: 'b', sample: () => Uint8Array.of(2) },
        { name: 'c', sample: () => undefined },
        { name: 'a', sample: () => Uint8Array.of(1) },
      ],
      nobody,
    );
    expect(own.ask()).toEqual([
      { label: 'process/a', bytes: Uint8Array.of(1) },
      { label: 'process/b', bytes: Uint8Array.of(2) },
      { label: 'process/c', bytes: undefined },
    ]);
    expect(own.indexOf('process/a')).toBe(2);
    expect(own.status().map(({ state }) => state)).toEqual(['ok', 'silent', 'ok']);
  });

  it('copies: a source may reuse its memory', () => {
    const memory = Uint8Array.of(1, 2, 3);
    const own = new OwnSources([{ name: 'a', sample: () => memory }], nobody);
    const [part] = own.ask();
    memory.fill(0);
    expect(part?.bytes).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('tells later answers when they come, the first one as such, and asks nothing while one is outstanding', async () => {
    const asked: ((bytes: Uint8Array) => void)[] = [];
    const later: unknown[] = [];
    const own = new OwnSources(
      [{ name: 'slow', sample: () => new Promise<Uint8Array>((resolve) => asked.push(resolve)) }],
      ({ name, bytes, first }) => later.push({ name, bytes: [...bytes], first }),
    );
    for (const value of [7, 8]) {
      own.ask();
      own.ask();
      asked.at(-1)?.(Uint8Array.of(value));
      await own.settled();
    }
    expect(asked).toHaveLength(2);
    expect(later).toEqual([
      { name: 'slow', bytes: [7], first: true },
      { name: 'slow', bytes: [8], first: false },
    ]);
  });

  const faults: readonly (readonly [string, LibrarySource['sample'], string])[] = [
    [
      'throws',
      () => {
        throw new Error('broken');
      },
      'broken',
    ],
    ['rejects', () => Promise.reject(new Error('broken')), 'broken'],
    ['gives a string', () => 'x' as unknown as Uint8Array, 'the source gave something that is no Uint8Array'],
    ['gives too much', () => new Uint8Array(MAX_ANSWER_BYTES + 1), 'the source gave more than 65536 bytes'],
  ];
  it.each(faults)('names a source that %s, and goes on with the others', async (_, sample, reason) => {
    const own = new OwnSources(
      [
        { name: 'bad', sample },
        { name: 'good', sample: () => Uint8Array.of(1) },
      ],
      nobody,
    );
    const parts = own.ask();
    await own.settled();
    expect(parts.map(({ bytes }) => bytes?.length)).toEqual([undefined, 1]);
    expect(own.status()).toEqual([
      { name: 'bad', state: 'failed', answers: 0, reason },
      { name: 'good', state: 'ok', answers: 1 },
    ]);
  });

  const sample = (): undefined => undefined;
  it.each([
    ['no array', 'os', TypeError],
    ['no name', [{ sample }], TypeError],
    ['no sample', [{ name: 'a' }], TypeError],
    ['a bad name', [{ name: 'A b', sample }], RangeError],
    ['one name twice', ['a', 'b', 'a'].map((name) => ({ name, sample })), RangeError],
    ['201', Array.from({ length: 201 }, (_, index) => ({ name: `s${index}`, sample })), RangeError],
  ])('refuses %s', (_, sources, error) => {
    expect(() => new OwnSources(sources as LibrarySource[], nobody)).toThrow(error);
  });
});
