import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareLabels, isPartLabel, PART_LABELS } from './labels.js';

const name = fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,62}$/);
const label = fc
  .tuple(fc.constantFrom(...PART_LABELS), fc.option(name, { nil: undefined }))
  .map(([kind, name]) => (name === undefined ? kind : `${kind}/${name}`));

describe('PART_LABELS', () => {
  it('is the table of the format, in its order', () => {
    expect(PART_LABELS.join(' ')).toBe(
      'certificate nonce start stream realtime monotonic boot-id counter vm-generation cycles root camera feed beacon ' +
        'pollen egd trickle mailbox xenstore process public seed pools whirlwind timing jitter hwrng tpm cpu os',
    );
  });

  it('has no kind twice and cannot be changed', () => {
    expect(new Set(PART_LABELS).size).toBe(PART_LABELS.length);
    expect(Object.isFrozen(PART_LABELS)).toBe(true);
  });
});

describe('isPartLabel', () => {
  it.each(['os', 'beacon/relay-1.example', 'camera/0', `feed/${'a'.repeat(63)}`])('accepts %s', (text) => {
    expect(isPartLabel(text)).toBe(true);
  });

  it.each([
    '',
    'OS',
    'os ',
    'os/',
    'os//a',
    'os/a/b',
    '/a',
    'unknown',
    'toString',
    'beacon/A',
    'beacon/.a',
    'beacon/-a',
    'beacon/a_b',
    'beacon/a\n',
    'beacon/é',
    `feed/${'a'.repeat(64)}`,
  ])('refuses %j', (text) => {
    expect(isPartLabel(text)).toBe(false);
  });
});

describe('compareLabels', () => {
  it('orders by the table, not by the alphabet', () => {
    expect(compareLabels('os', 'certificate')).toBeGreaterThan(0);
    expect(compareLabels('realtime', 'boot-id')).toBeLessThan(0);
  });

  it('orders names bytewise, no name first', () => {
    const sorted = ['beacon', 'beacon/0', 'beacon/a', 'beacon/a-', 'beacon/a.', 'beacon/a0', 'beacon/b'];
    expect([...sorted].reverse().sort(compareLabels)).toEqual(sorted);
  });

  it('is a total order: antisymmetric, and zero only for the same text', () => {
    fc.assert(
      fc.property(label, label, (a, b) => {
        expect(Math.sign(compareLabels(a, b)) + Math.sign(compareLabels(b, a))).toBe(0);
        expect(compareLabels(a, b) === 0).toBe(a === b);
      }),
    );
  });

  it('is a total order: transitive', () => {
    fc.assert(
      fc.property(label, label, label, (a, b, c) => {
        const [x = '', y = '', z = ''] = [a, b, c].sort(compareLabels);
        expect(compareLabels(x, y)).toBeLessThanOrEqual(0);
        expect(compareLabels(y, z)).toBeLessThanOrEqual(0);
        expect(compareLabels(x, z)).toBeLessThanOrEqual(0);
      }),
    );
  });

  it('refuses what is no label', () => {
    expect(() => compareLabels('os', 'unknown')).toThrow(RangeError);
    expect(() => compareLabels('', 'os')).toThrow(RangeError);
  });
});
