import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_POLICY_ENTRIES, NO_POLICY, type Policy, type Quota } from '../identity/policy.js';
import {
  encodePolicy,
  encodePolicyAlive,
  encodePolicyChange,
  isSamePolicy,
  MAX_POLICY_LINE_BYTES,
} from './policy.js';
import { decodePolicy, PolicyReader } from './policy-reader.js';

const textOf = (lines: readonly Buffer[]): string => Buffer.concat(lines).toString();
const linesOf = (lines: readonly Buffer[]): string[] => textOf(lines).split('\n').slice(0, -1);

function policyOf(
  names: readonly string[],
  serials: readonly string[] = [],
  quotas: [string, Partial<Quota>][] = [],
): Policy {
  return { revokedNames: new Set(names), revokedSerials: new Set(serials), quotas: new Map(quotas) };
}

const names = fc.array(fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,62}$/), { maxLength: 400 });
const serials = fc.array(
  fc.bigInt({ min: 1n, max: 2n ** 160n }).map((serial) => serial.toString(16).toUpperCase()),
  { maxLength: 400 },
);
const quota: fc.Arbitrary<Partial<Quota>> = fc.record(
  { beaconBurst: fc.integer({ min: 1, max: 6_000_000 }), connections: fc.integer({ min: 1, max: 65_536 }) },
  { requiredKeys: [] },
);
const policies = fc
  .tuple(
    names,
    serials,
    names.chain((of) => fc.tuple(...of.map((name) => fc.tuple(fc.constant(name), quota)))),
  )
  .map(([revoked, by, own]) => policyOf(revoked, by, own));

/** A reader that believes a policy, as sequence 1. */
function readerOf(policy: Policy): PolicyReader {
  const reader = new PolicyReader();
  for (const line of linesOf(encodePolicy(policy, 1))) reader.read(line);
  return reader;
}

describe('a policy as lines', () => {
  it('is read as it was written, whatever stands in it', () => {
    fc.assert(
      fc.property(policies, (policy) => {
        expect(decodePolicy(textOf(encodePolicy(policy, 7)))).toEqual(policy);
      }),
      { numRuns: 30 },
    );
  });

  it('is written as it always was', () => {
    expect(textOf(encodePolicy(policyOf(['a'], ['B'], [['c', { connections: 5 }]]), 3))).toBe(
      [
        '{"type":"snapshot","sequence":3}',
        '{"type":"part","names":["a"]}',
        '{"type":"part","serials":["B"]}',
        '{"type":"part","quotas":{"c":{"connections":5}}}',
        '{"type":"complete","sequence":3,"entries":3}\n',
      ].join('\n'),
    );
    const [from, to] = [
      { policy: policyOf(['a'], [], [['c', {}]]), sequence: 3 },
      { policy: policyOf(['b'], ['B']), sequence: 5 },
    ];
    expect(encodePolicyChange(from, to)?.toString()).toBe(
      '{"type":"change","after":3,"sequence":5,"add":{"names":["b"],"serials":["B"],"quotas":{}},"remove":{"names":["a"],"serials":[],"quotas":["c"]},"entries":2}\n',
    );
  });

  it('has no line that is too long, with the longest of everything', () => {
    const own: Partial<Quota> = {
      beaconsPerMinute: 6_000_000,
      beaconBurst: 6_000_000,
      feedBytesPerMinute: 600_000_000,
      feedBurstBytes: 600_000_000,
      connections: 65_536,
    };
    const long = Array.from({ length: 600 }, (_, i) => `${'x'.repeat(60)}${String(i).padStart(3, '0')}`);
    const hex = Array.from({ length: 600 }, (_, i) => `F${i.toString(16).toUpperCase().padStart(63, '0')}`);
    const policy = policyOf(
      long,
      hex,
      long.map((name) => [name, own]),
    );
    for (const line of encodePolicy(policy, Number.MAX_SAFE_INTEGER)) {
      expect(line.length).toBeLessThan(MAX_POLICY_LINE_BYTES);
    }
    const some = policyOf(
      [],
      [],
      long.slice(0, 256).map((name) => [name, own]),
    );
    const change = encodePolicyChange({ policy: NO_POLICY, sequence: 1 }, { policy: some, sequence: 2 });
    expect(change?.length).toBeLessThan(MAX_POLICY_LINE_BYTES);
  });

  it('becomes another by one line, or by all of it when that is too much', () => {
    fc.assert(
      fc.property(policies, policies, (one, other) => {
        const line = encodePolicyChange({ policy: one, sequence: 1 }, { policy: other, sequence: 4 });
        const reader = readerOf(one);
        if (line !== undefined) expect(reader.read(line.toString())).toEqual(other);
        expect(isSamePolicy(one, other)).toBe(JSON.stringify(sorted(one)) === JSON.stringify(sorted(other)));
      }),
      { numRuns: 30 },
    );
    const many = policyOf(Array.from({ length: 257 }, (_, i) => `n${i}`));
    expect(
      encodePolicyChange({ policy: NO_POLICY, sequence: 1 }, { policy: many, sequence: 2 }),
    ).toBeUndefined();
  });

  it('loses and gains one entry of many by one short line', () => {
    const before = policyOf(['a', 'b'], ['A'], [['x', { connections: 1 }]]);
    const after = policyOf(['b', 'c'], [], [['x', { connections: 2 }]]);
    const reader = readerOf(before);
    const line = encodePolicyChange({ policy: before, sequence: 1 }, { policy: after, sequence: 2 });
    expect(reader.read(String(line))).toEqual(after);
    expect(before).toEqual(policyOf(['a', 'b'], ['A'], [['x', { connections: 1 }]]));
  });
});

const sorted = ({ revokedNames, revokedSerials, quotas }: Policy) => [
  [...revokedNames].sort(),
  [...revokedSerials].sort(),
  [...quotas]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { beaconBurst, connections }]) => [name, beaconBurst, connections]),
];

describe('PolicyReader', () => {
  const wrong: unknown = expect.objectContaining({ code: 'ERR_UPSTREAM_PROTOCOL' });

  it('believes nothing before the whole is here', () => {
    const reader = new PolicyReader();
    const lines = linesOf(encodePolicy(policyOf(['a'], ['B']), 1));
    for (const line of lines.slice(0, -1)) expect(reader.read(line)).toBeUndefined();
    expect(() => reader.read(encodePolicyAlive(1).toString())).toThrow(wrong);
    expect(reader.read(lines.at(-1) ?? '')).toEqual(policyOf(['a'], ['B']));
  });

  it.each<[string, string[]]>([
    ['a part before its beginning', ['{"type":"part","names":["a"]}']],
    ['an end before its beginning', ['{"type":"complete","sequence":1,"entries":0}']],
    [
      'a change before the whole',
      ['{"type":"change","after":0,"sequence":1,"add":{},"remove":{},"entries":0}'],
    ],
    ['a heartbeat before anything', ['{"type":"alive","sequence":1}']],
    ['another end', ['{"type":"snapshot","sequence":1}', '{"type":"complete","sequence":2,"entries":0}']],
    ['too few entries', ['{"type":"snapshot","sequence":1}', '{"type":"complete","sequence":1,"entries":1}']],
    ['an empty part', ['{"type":"snapshot","sequence":1}', '{"type":"part"}']],
    [
      'a name twice',
      [
        '{"type":"snapshot","sequence":1}',
        '{"type":"part","names":["a","a"]}',
        '{"type":"complete","sequence":1,"entries":2}',
      ],
    ],
    ['an unknown type', ['{"type":"forget","sequence":1}']],
    ['no sequence', ['{"type":"snapshot"}']],
    ['a sequence that is none', ['{"type":"snapshot","sequence":1e300}']],
    ['no JSON', ['{"type"']],
    ['no object', ['[]']],
    ['null', ['null']],
    ['nothing', ['']],
  ])('refuses %s', (_what, lines) => {
    const reader = new PolicyReader();
    for (const line of lines.slice(0, -1)) reader.read(line);
    expect(() => reader.read(lines.at(-1) ?? '')).toThrow(wrong);
  });

  it.each([
    '{"type":"part","names":["Web-1"]}',
    '{"type":"part","names":["../x"]}',
    '{"type":"part","names":[5]}',
    '{"type":"part","names":"a"}',
    '{"type":"part","serials":["0A"]}',
    '{"type":"part","serials":["ab"]}',
    '{"type":"part","quotas":{"a":{"connections":0}}}',
    '{"type":"part","quotas":{"A":{}}}',
    '{"type":"part","quotas":[]}',
    '{"type":"part","quotas":{"__proto__":{}}}',
  ])('refuses %s', (line) => {
    const reader = new PolicyReader();
    reader.read('{"type":"snapshot","sequence":1}');
    expect(() => reader.read(line)).toThrow(wrong);
  });

  it('misses no change', () => {
    const change = (after: number, sequence: number, entries = 1): string =>
      JSON.stringify({ type: 'change', after, sequence, add: {}, remove: {}, entries });
    for (const line of [change(0, 2), change(2, 3), change(1, 1), change(1, 2, 2)]) {
      expect(() => readerOf(policyOf(['a'])).read(line)).toThrow(wrong);
    }
    expect(() => readerOf(policyOf(['a'])).read('{"type":"alive","sequence":2}')).toThrow(wrong);
    expect(() => readerOf(policyOf(['a'])).read('{"type":"snapshot","sequence":1}')).toThrow(wrong);
    expect(readerOf(policyOf(['a'])).read(change(1, 2))).toEqual(policyOf(['a']));
  });

  it('takes keys that a later version may add, in quotas too', () => {
    const reader = new PolicyReader();
    reader.read('{"type":"snapshot","sequence":1,"since":"2030"}');
    reader.read('{"type":"part","quotas":{"a":{"connections":2,"lamps":3}},"colors":["red"]}');
    expect(reader.read('{"type":"complete","sequence":1,"entries":1}')).toEqual(
      policyOf([], [], [['a', { connections: 2 }]]),
    );
  });

  it('takes no more entries than there may be', () => {
    const reader = new PolicyReader();
    reader.read('{"type":"snapshot","sequence":1}');
    const part = (from: number): string =>
      JSON.stringify({ type: 'part', names: Array.from({ length: 1_000 }, (_, i) => `n${from + i}`) });
    for (let from = 0; from < MAX_POLICY_ENTRIES; from += 1_000) reader.read(part(from));
    expect(() => reader.read('{"type":"part","names":["one-more"]}')).toThrow(wrong);
  });

  it('is read whole from disk, or not at all', () => {
    const text = textOf(encodePolicy(policyOf(['a', 'b'], ['C']), 0));
    for (let length = 0; length < text.length; length++) {
      expect(() => decodePolicy(text.slice(0, length))).toThrow(wrong);
    }
    expect(() => decodePolicy(text + text)).toThrow(wrong);
    expect(() => decodePolicy(text.replace('"b"', '"a"'))).toThrow(wrong);
    expect(decodePolicy(text)).toEqual(policyOf(['a', 'b'], ['C']));
  });
});
