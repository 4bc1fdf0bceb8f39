import { describe, expect, it } from 'vitest';
import { Alarm } from './alarm.js';
import { THRESHOLDS } from './thresholds.js';

const { raiseMs, recoverMs } = THRESHOLDS;

describe('alarm', () => {
  it('begins after failures only for long enough, one good answer begins the count anew', () => {
    const alarm = new Alarm();
    expect(alarm.hear(false, 0)).toBeUndefined();
    expect(alarm.hear(true, 100)).toBeUndefined();
    expect(alarm.hear(false, 200)).toBeUndefined();
    expect(alarm.hear(true, 300)).toBeUndefined();
    expect(alarm.hear(true, 200 + raiseMs - 1)).toBeUndefined();
    expect(alarm.hear(true, 200 + raiseMs)).toBe('raised');
    expect(alarm.isRaised).toBe(true);
  });

  it('begins with one failure where answers are far apart', () => {
    const alarm = new Alarm();
    alarm.hear(false, 0);
    expect(alarm.hear(true, 2_000)).toBe('raised');
  });

  it('ends after good answers only for long enough', () => {
    const alarm = new Alarm();
    expect(alarm.raise()).toBe('raised');
    expect(alarm.raise()).toBeUndefined();
    expect(alarm.hear(false, 0)).toBeUndefined();
    expect(alarm.hear(true, recoverMs - 1)).toBeUndefined();
    expect(alarm.hear(false, recoverMs)).toBeUndefined();
    expect(alarm.hear(false, 2 * recoverMs - 1)).toBeUndefined();
    expect(alarm.hear(false, 2 * recoverMs)).toBe('cleared');
    expect(alarm.isRaised).toBe(false);
  });
});
