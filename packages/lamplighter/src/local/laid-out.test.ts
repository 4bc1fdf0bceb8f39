import { encode } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { layOut } from './laid-out.js';

describe('layOut', () => {
  const parts = [
    { label: 'nonce', lengthBytes: 3 },
    { label: 'counter', lengthBytes: undefined },
    { label: 'cycles', lengthBytes: 8 },
  ];

  it('is E once the parts are written where they stand', () => {
    const { text, view, at } = layOut('test', parts);
    text.set([1, 2, 3], at('nonce'));
    view.setBigUint64(at('cycles'), 5n);
    expect(text).toEqual(
      encode('test', [
        { label: 'nonce', bytes: Uint8Array.of(1, 2, 3) },
        { label: 'counter', bytes: undefined },
        { label: 'cycles', bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 5) },
      ]),
    );
  });

  it('has no place for what is absent or unknown, and refuses what encode refuses', () => {
    const { at } = layOut('test', parts);
    expect(() => at('counter')).toThrow(RangeError);
    expect(() => at('os')).toThrow(RangeError);
    expect(() => layOut('test', [...parts].reverse())).toThrow(RangeError);
  });
});
