import { describe, expect, it } from 'vitest';
import { JitterHealth } from './jitter-health.js';
import { irregular } from './scripted-clock.fixture.js';
import { START_UP_SAMPLES } from './start-up-test.js';

function push(health: JitterHealth, count: number, timeOf: (nth: number) => number): void {
  for (let nth = 0; nth < count; nth += 1) health.push(timeOf(nth));
}

/** One that has passed its start-up test, at the beginning of a window. */
function healthy(): JitterHealth {
  const health = new JitterHealth();
  push(health, START_UP_SAMPLES, irregular);
  expect(health.state).toBe('ok');
  return health;
}

/** What is said after so many measurements, and that it is over after three good start-up tests, not before. */
function expectBack(health: JitterHealth): void {
  push(health, 3 * START_UP_SAMPLES - 1, irregular);
  expect(health.state).toBe('degraded');
  health.push(8_765);
  expect(health.state).toBe('ok');
  expect(health.reason).toBeUndefined();
}

describe('JitterHealth: start-up test', () => {
  it('says nothing before its 1024th measurement', () => {
    const health = new JitterHealth();
    push(health, START_UP_SAMPLES - 1, irregular);
    expect(health.state).toBe('starting');
    health.push(8_700);
    expect(health.state).toBe('ok');
    expect(health.counts).toMatchObject({ measurements: 1_024, startUpFailures: 0 });
  });

  it.each([
    ['a clock that stands still', () => 0, 'ERR_CLOCK_COARSE', 'the clock stands still'],
    [
      'a clock of 15.6 ms',
      (nth: number) => (nth % 300 === 0 ? 15_600_000 : 0),
      'ERR_CLOCK_COARSE',
      'a measurement takes 0.0 steps of the clock, of 15600000 each (limit 8)',
    ],
    [
      'a clock of 1 µs, work of 5 µs',
      (nth: number) => 5_000 + (irregular(nth) % 2) * 1_000,
      'ERR_CLOCK_COARSE',
      'steps of the clock, of 1000 each (limit 8)',
    ],
    [
      'a clock that goes backwards',
      (nth: number) => (nth % 200 === 0 ? -irregular(nth) : irregular(nth)),
      'ERR_HEALTH_START_UP',
      'the clock went backwards 6 times in 1024 (limit 3)',
    ],
    [
      'times that hardly vary',
      (nth: number) => 8_500 + (nth % 10 === 0 ? 1 : 0),
      'ERR_HEALTH_START_UP',
      'times vary by 0.20 steps (limit 1)',
    ],
    [
      'times that grow evenly',
      (nth: number) => 1_000 + 7 * nth,
      'ERR_HEALTH_START_UP',
      '1022 of 1024 measurements are stuck (limit 921)',
    ],
    [
      'one time too often',
      (nth: number) => (nth % 4 === 3 ? irregular(nth) : 9_000),
      'ERR_HEALTH_ADAPTIVE_PROPORTION',
      'one time came 336 times in 512',
    ],
    [
      'one time too long',
      (nth: number) => (nth < 600 && nth >= 550 ? 9_000 : irregular(nth)),
      'ERR_HEALTH_REPETITION_COUNT',
      'one time came 41 times in a row',
    ],
  ])('%s: degraded, with its number, and back', (_, timeOf, code, message) => {
    const health = new JitterHealth();
    push(health, START_UP_SAMPLES - 1, timeOf);
    expect(health.state).toBe('starting');
    health.push(timeOf(START_UP_SAMPLES - 1));
    expect(health.state).toBe('degraded');
    expect(health.reason?.code).toBe(code);
    expect(health.reason?.message).toContain(message);
    expect(health.counts.startUpFailures).toBe(1);
    expectBack(health);
  });

  it('a clock that went backwards once, at a migration, is no fault', () => {
    const health = new JitterHealth();
    push(health, START_UP_SAMPLES, (nth) => (nth === 100 ? -5_000_000 : irregular(nth)));
    expect(health.state).toBe('ok');
  });
});

describe('JitterHealth: running', () => {
  it('the repetition count test fails at the 41st equal time, not at the 40th, and it is back', () => {
    const health = healthy();
    push(health, 40, () => 9_000);
    expect(health.state).toBe('ok');
    health.push(9_000);
    expect(health.state).toBe('degraded');
    expect(health.reason?.code).toBe('ERR_HEALTH_REPETITION_COUNT');
    expect(health.counts.repetitionFailures).toBe(1);
    expectBack(health);
  });

  it('the adaptive proportion test fails at the 336th equal time of a window, not before, and it is back', () => {
    const health = healthy();
    // 8 of 9 equal, so that neither runs nor the stuck test see it: the window's first, then eight in nine.
    let equal = 0;
    for (let nth = 0; health.state === 'ok' && nth < 512; nth += 1) {
      const isEqual = nth % 9 !== 8;
      equal += isEqual ? 1 : 0;
      health.push(isEqual ? 9_000 : irregular(nth));
    }
    expect(equal).toBe(336);
    expect(health.reason?.code).toBe('ERR_HEALTH_ADAPTIVE_PROPORTION');
    expect(health.counts).toMatchObject({ proportionFailures: 1, repetitionFailures: 0 });
    expectBack(health);
  });

  it('the stuck test fails at the end of a window in which times grow evenly, and it is back', () => {
    const health = healthy();
    push(health, 511, (nth) => 8_000 + 3 * nth);
    expect(health.state).toBe('ok');
    health.push(8_000 + 3 * 511);
    expect(health.reason).toMatchObject({
      code: 'ERR_HEALTH_STUCK',
      message: 'stuck test: 510 of 512 measurements are stuck (limit 460)',
    });
    expect(health.counts.stuckFailures).toBe(1);
    expectBack(health);
  });

  it('a failure on the way back begins it anew', () => {
    const health = healthy();
    push(health, 41, () => 9_000);
    push(health, 2 * START_UP_SAMPLES, irregular);
    push(health, 41, () => 9_000);
    push(health, START_UP_SAMPLES - 41, irregular);
    expect(health.state).toBe('degraded');
    expect(health.counts).toMatchObject({ startUpFailures: 1, repetitionFailures: 2 });
    expectBack(health);
  });

  it('does not alarm on an hour of irregular times (accelerated)', () => {
    const health = healthy();
    push(health, 1_000_000, (nth) => irregular(nth + 5_000));
    expect(health.state).toBe('ok');
    expect(health.counts).toMatchObject({ stuckFailures: 0, repetitionFailures: 0, proportionFailures: 0 });
  });
});
