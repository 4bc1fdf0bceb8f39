import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { StuckBytes } from './stuck-bytes.js';

describe('StuckBytes', () => {
  it('finds nothing in random bytes, and keeps finding nothing', () => {
    const watch = new StuckBytes();
    for (let answers = 0; answers < 1_000; answers += 1) expect(watch.fault(randomBytes(64))).toBeUndefined();
  });

  it.each([0, 255, 0x5a])('knows bytes that are all %d', (byte) => {
    expect(new StuckBytes().fault(new Uint8Array(32).fill(byte))).toMatch(/all its bytes are equal/);
  });

  it('knows a pattern within one answer, wherever its blocks stand', () => {
    const block = randomBytes(16);
    expect(new StuckBytes().fault(Buffer.concat([block, randomBytes(32), block]))).toMatch(
      /within one answer/,
    );
    expect(new StuckBytes().fault(Buffer.concat([randomBytes(16), block, block]))).toMatch(
      /within one answer/,
    );
  });

  it('knows the answer before, and forgives when another one comes', () => {
    const watch = new StuckBytes();
    const answer = randomBytes(64);
    expect(watch.fault(answer)).toBeUndefined();
    expect(watch.fault(Uint8Array.from(answer))).toMatch(/again and again/);
    expect(watch.fault(randomBytes(64))).toBeUndefined();
    expect(watch.fault(answer)).toBeUndefined();
  });

  it('does not judge answers that are equal by chance', () => {
    const watch = new StuckBytes();
    expect(watch.fault(Uint8Array.of(7))).toBeUndefined();
    expect(watch.fault(Uint8Array.of(7))).toBeUndefined();
  });
});
