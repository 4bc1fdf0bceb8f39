import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { agentConfig } from './config.js';
import { decodeAgentConfig } from './config-decoder.js';

const TLS = { ca: 'ca.pem', cert: 'web.pem', key: 'web.key' };
const RELAY = { name: 'relay-1', url: 'https://relay-1.example:9443' };
const LEAST = { tls: TLS, relays: [RELAY] };
const MOST = {
  tls: { ...TLS, requireHybrid: true },
  relays: [
    { ...RELAY, peer: 'relay' },
    { name: 'relay-2', url: 'https://[::1]:9443/' },
    { name: 'relay-3', url: 'https://relay-3', device: '/dev/virtio-ports/io.lamplighter.beacon.1' },
  ],
  pollen: [
    { name: 'pollen-1', url: 'https://entropy.example/', ca: 'entropy.pem' },
    { name: 'pollen-2', url: 'http://[::1]:8080/path?query' },
  ],
  authority: { url: 'https://ca.example:9443', peer: 'relay' },
  require: 2,
  deadlineMs: 1_000,
  state: '/state',
  report: '/report.json',
  refreshMs: 60_000,
  kernel: { device: '/dev/urandom', creditBits: 256 },
  socket: { path: '/run/x/egd.sock', folderMode: '0700', uids: [0, 1_000], gids: [5] },
};

/** What the schema makes of it: the configuration, or undefined. */
function bySchema(value: unknown): unknown {
  const result = agentConfig.safeParse(value);
  return result.success ? result.data : undefined;
}

/** Every value inside, as the path of keys that leads to it. */
function pathsIn(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  const inside =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, inner]) => pathsIn(inner, [...path, key]))
      : [];
  return [path, ...inside];
}

/** A copy in which one value is another. */
function withAt(value: unknown, [key, ...rest]: readonly string[], other: unknown): unknown {
  if (key === undefined) return other;
  const inner: unknown = Reflect.get(value as object, key);
  const changed = withAt(inner, rest, other);
  if (Array.isArray(value)) return value.map((item: unknown, at) => (String(at) === key ? changed : item));
  return { ...(value as object), [key]: changed };
}

const ODD_VALUES: readonly unknown[] = [
  undefined,
  null,
  true,
  '',
  'x',
  'relay-2',
  'pollen-1',
  'Relay',
  '0755',
  'http://relay/',
  'https://',
  'https://a b/',
  'https://user@a/',
  'https://a/#b',
  'ftp://a/',
  'x'.repeat(5_000),
  -1,
  0,
  1,
  1.5,
  16,
  17,
  512,
  513,
  1e9,
  2 ** 53,
  [],
  ['x'],
  [1, 1],
  Array.from({ length: 17 }, () => RELAY),
  Array.from({ length: 17 }, (_, index) => ({ ...RELAY, name: `other-${index}` })),
  {},
  { colour: 'blue' },
];

describe('the small decoder', () => {
  it.each([
    ['the least', LEAST],
    ['the most', MOST],
  ])('gives what the schema gives for %s', (_, value) => {
    expect(decodeAgentConfig(value)).toEqual(bySchema(value));
    expect(decodeAgentConfig(value)).toBeDefined();
  });

  it('accepts what the schema accepts and nothing else, whatever value is put where', () => {
    let accepted = 0;
    for (const path of pathsIn(MOST)) {
      for (const odd of ODD_VALUES) {
        const value = withAt(MOST, path, odd);
        expect(decodeAgentConfig(value), `${path.join('.')} = ${JSON.stringify(odd)}`).toEqual(
          bySchema(value),
        );
        if (bySchema(value) !== undefined) accepted += 1;
      }
    }
    expect(accepted).toBeGreaterThan(50);
  });

  it('agrees with the schema on anything that JSON can hold', () => {
    fc.assert(
      fc.property(fc.constantFrom(...pathsIn(MOST)), fc.jsonValue(), (path, odd) => {
        const value = withAt(MOST, path, odd);
        expect(decodeAgentConfig(value)).toEqual(bySchema(value));
      }),
    );
  });
});
