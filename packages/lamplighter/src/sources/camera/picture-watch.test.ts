import { describe, expect, it } from 'vitest';
import { FAULT_REASONS, reasonOfFaults } from './fault-reasons.js';
import { HEALTH_TESTS } from './health/registry.js';
import { PictureWatch } from './picture-watch.js';

const WITHIN_MS = 3_500;

/** A picture of nothing but noise. */
const noisy = () => ({
  luma: Uint8Array.from({ length: 160 * 120 }, () => 60 + Math.floor(Math.random() * 120)),
  sourceWidth: 160,
  sourceHeight: 120,
  arrivedMs: 0,
  mediaMs: undefined,
});

/** Looks at ten pictures a second. @returns when it ended, ms */
function watchFor(watch: PictureWatch, fromMs: number, lastsMs: number, picture = noisy): number {
  let nowMs = fromMs;
  for (; nowMs < fromMs + lastsMs; nowMs += 100) {
    watch.heard(nowMs);
    watch.see(picture(), nowMs);
  }
  return nowMs;
}

describe('PictureWatch', () => {
  it('knows nothing at first, then that all is well', () => {
    const watch = new PictureWatch();
    expect(watch.judge(0, WITHIN_MS)).toMatchObject({ verdict: 'unknown', reason: undefined, faults: [] });
    expect(watch.preview()).toBeUndefined();
    const nowMs = watchFor(watch, 1_000, 10_000);
    expect(watch.judge(nowMs, WITHIN_MS)).toMatchObject({ verdict: 'healthy', reason: undefined });
    expect(watch.preview()).toMatchObject({ width: 80, height: 60 });
    expect(watch.history(nowMs)).toBe('');
  });

  it('calls video without pictures not decodable, from the start and later, until there is one', () => {
    const watch = new PictureWatch();
    for (let nowMs = 0; nowMs <= WITHIN_MS; nowMs += 100) watch.heard(nowMs);
    expect(watch.judge(WITHIN_MS, WITHIN_MS).verdict).toBe('unknown');
    expect(watch.judge(WITHIN_MS + 1, WITHIN_MS)).toMatchObject({
      verdict: 'not-decodable',
      reason: { code: 'ERR_CAMERA_NOT_DECODABLE' },
    });
    // Where only key frames are decoded it takes longer.
    expect(watch.judge(WITHIN_MS + 1, 20_000).verdict).toBe('unknown');
    const nowMs = watchFor(watch, 5_000, 10_000);
    expect(watch.judge(nowMs, WITHIN_MS).verdict).toBe('healthy');
    expect(watch.judge(nowMs + WITHIN_MS, WITHIN_MS).verdict).toBe('not-decodable');
  });

  it('remembers for a while that the camera was gone, and says when', () => {
    const watch = new PictureWatch();
    const goneMs = watchFor(watch, 0, 10_000);
    watch.gone(goneMs);
    expect(watch.judge(goneMs + 60_000, WITHIN_MS).faults).toEqual(['gone']);
    const backMs = goneMs + 100_000;
    const nowMs = watchFor(watch, backMs, 5_000);
    const { verdict, reason } = watch.judge(nowMs, WITHIN_MS);
    expect({ verdict, code: reason?.code }).toEqual({ verdict: 'degraded', code: 'ERR_CAMERA_GONE' });
    expect(watch.history(nowMs)).toMatch(/^gone 105 s ago/);
    const laterMs = watchFor(watch, nowMs, 20_000);
    expect(watch.judge(laterMs, WITHIN_MS).verdict).toBe('healthy');
    expect(watch.history(laterMs)).toMatch(/^gone 125 s ago for \d+ s$/);
  });

  it('does not take a frozen camera that reconnects for a live one', () => {
    const watch = new PictureWatch();
    const frozen = noisy();
    let nowMs = watchFor(watch, 0, 10_000);
    for (let connection = 0; connection < 5; connection++) {
      nowMs = watchFor(watch, nowMs + 100, 4_000, () => frozen);
      watch.gone(nowMs);
    }
    watchFor(watch, nowMs + 100, 1_000, () => frozen);
    expect(watch.judge(nowMs + 1_100, WITHIN_MS).faults).toContain('frozen');
  });
});

describe('reasonOfFaults', () => {
  it('has a code and a hint of its own for each fault there is a test for', () => {
    const reasons = HEALTH_TESTS.map(({ fault }) => FAULT_REASONS[fault]);
    expect(new Set(reasons.map(({ code }) => code)).size).toBe(HEALTH_TESTS.length);
    for (const { message, hint } of reasons) {
      expect(message).toMatch(/^[a-z].*[^.]$/);
      expect(hint).toMatch(/^[a-z].*[^.]$/);
    }
  });

  it('tells several as one: the first one’s code, the messages of all', () => {
    expect(reasonOfFaults([])).toBeUndefined();
    expect(reasonOfFaults(['frozen', 'low-noise'])).toMatchObject({
      code: 'ERR_CAMERA_FROZEN',
      message: `${FAULT_REASONS.frozen.message}; ${FAULT_REASONS['low-noise'].message}`,
    });
  });
});
