import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sameness } from './sameness.js';

const varied = (length: number) => Uint8Array.from({ length }, (_, at) => at & 1);

describe('Sameness', () => {
  it('says so at the 64th equal byte, not before', () => {
    const test = new Sameness();
    test.see(new Uint8Array(63));
    expect(test.stuck).toBe(false);
    test.see(new Uint8Array(1));
    expect(test.stuck).toBe(true);
  });

  it('recovers after 1,024 bytes without such a run, not before', () => {
    const test = new Sameness();
    test.see(new Uint8Array(1000).fill(7));
    test.see(varied(1023));
    expect(test.stuck).toBe(true);
    test.see(varied(1));
    expect(test.stuck).toBe(false);
  });

  it('sees the same however the bytes are cut', () => {
    const pieces = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 1100 })), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 100 }), (runs, cut) => {
        const bytes = Uint8Array.from(runs.flatMap(([byte, length]) => Array.from({ length }, () => byte)));
        const whole = new Sameness();
        const cutUp = new Sameness();
        whole.see(bytes);
        for (let at = 0; at < bytes.length; at += cut) cutUp.see(bytes.subarray(at, at + cut));
        expect(cutUp.stuck).toBe(whole.stuck);
      }),
    );
  });
});
