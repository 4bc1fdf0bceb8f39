import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { statusOf } from './status-schema.js';
import { aSource, aStatus } from './status.fixture.js';

const received = (status: object): unknown => JSON.parse(JSON.stringify(status)) as unknown;

describe('a status from outside', () => {
  it('comes through whole', () => {
    const status = aStatus();
    expect(statusOf(received(status), 'here')).toEqual(status);
  });

  it.each<[string, object]>([
    ['version', { version: 2 }],
    ['state', { state: 'splendid' }],
    ['uptimeMs', { uptimeMs: -1 }],
    ['name', { name: 'x'.repeat(5_000) }],
    ['sources', { sources: 'none' }],
    ['sources.0.bytes', { sources: [aSource({ bytes: Number.NaN })] }],
    ['sources', { sources: Array.from({ length: 2_000 }, () => aSource()) }],
    ['rest', { rest: undefined }],
  ])('is refused by the name of what is wrong: %s', (key, over) => {
    expect(() => statusOf(received({ ...aStatus(), ...over }), 'there')).toThrow(
      `the status at there cannot be read: ${key}`,
    );
  });

  it('cannot steer a terminal', () => {
    const steering = 'a\u001b[2Jb\u009bc\u202ed\ne\u007f';
    const status = statusOf(
      received(aStatus({ name: steering, sources: [aSource({ details: { [steering]: steering } })] })),
      'x',
    );
    expect(status.name).toBe('a\uFFFD[2Jb\uFFFDc\uFFFDd\uFFFDe\uFFFD');
    expect(JSON.stringify(status)).not.toMatch(/[\p{Cc}\u202a-\u202e]/u);
  });

  it('may have codes of a newer node', () => {
    const reasons = [{ code: 'ERR_FROM_TOMORROW', message: 'it is new' }];
    expect(statusOf(received({ ...aStatus(), reasons }), 'x').reasons).toEqual([
      { code: 'ERR_INTERNAL', message: 'it is new (ERR_FROM_TOMORROW)' },
    ]);
  });

  it('never throws anything but a refusal', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (any) => {
        expect(() => statusOf(any, 'x')).toThrow(expect.objectContaining({ code: 'ERR_UPSTREAM_PROTOCOL' }));
      }),
    );
  });
});
