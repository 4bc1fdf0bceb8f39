import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_QUOTAS,
  isRevoked,
  NO_POLICY,
  normalSerial,
  QUOTA_BOUNDS,
  QUOTA_FIELDS,
  readQuota,
} from './policy.js';
import { ROLES } from './roles.js';

describe('normalSerial', () => {
  it.each([
    ['0A', 'A'],
    ['0a', 'A'],
    ['a', 'A'],
    ['000', '0'],
    ['00:0A:ff', 'AFF'],
    ['0x0aFF', 'AFF'],
    ['F'.repeat(64), 'F'.repeat(64)],
  ])('reads %s as %s', (text, normal) => expect(normalSerial(text)).toBe(normal));

  it.each(['', ':', '0x', '-1', 'G', ' A', 'A ', 'A\n', '../A', 'A/B', 'A.json', 'F'.repeat(65), 'Ａ'])(
    'refuses %j',
    (text) => expect(normalSerial(text)).toBeUndefined(),
  );

  it('writes every number in one way only', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 160n }), fc.nat(8), (serial, zeros) => {
        const upper = serial.toString(16).toUpperCase();
        const written = '0'.repeat(zeros) + serial.toString(16);
        expect(normalSerial(written)).toBe(upper);
        expect(normalSerial(upper)).toBe(upper);
      }),
    );
  });
});

describe('isRevoked', () => {
  const revoked = { ...NO_POLICY, revokedSerials: new Set(['A1B2', 'C']), revokedNames: new Set(['web-1']) };

  it('knows a certificate by its name, whatever its serial', () => {
    expect(isRevoked(revoked, { name: 'web-1', serial: 'FF' })).toBe(true);
    expect(isRevoked(revoked, { name: 'web-2', serial: 'FF' })).toBe(false);
    expect(isRevoked(revoked, { name: 'web-11', serial: 'FF' })).toBe(false);
  });

  it('knows a certificate by its serial, as node prints it: with a leading zero where the bytes are whole', () => {
    expect(isRevoked(revoked, { name: 'web-2', serial: 'A1B2' })).toBe(true);
    expect(isRevoked(revoked, { name: 'web-2', serial: '0C' })).toBe(true);
    expect(isRevoked(revoked, { name: 'web-2', serial: 'A1B20' })).toBe(false);
  });
});

describe('readQuota', () => {
  it('takes what is within its bounds, and knows only its own fields', () => {
    expect(readQuota({ beaconBurst: 1, color: 'red' })).toEqual({ beaconBurst: 1 });
    expect(readQuota({})).toEqual({});
    for (const role of ROLES) expect(readQuota(DEFAULT_QUOTAS[role])).toEqual(DEFAULT_QUOTAS[role]);
  });

  it.each(QUOTA_FIELDS)('refuses a %s that is none', (field) => {
    const { least, most } = QUOTA_BOUNDS[field];
    expect(readQuota({ [field]: least })).toEqual({ [field]: least });
    expect(readQuota({ [field]: most })).toEqual({ [field]: most });
    for (const value of [least - 1, most + 1, 1.5, Number.NaN, Infinity, '5', null, [5], true]) {
      expect(readQuota({ [field]: value })).toBeUndefined();
    }
  });

  it.each([null, 5, 'text', [], undefined])('refuses %j', (value) =>
    expect(readQuota(value)).toBeUndefined(),
  );
});
