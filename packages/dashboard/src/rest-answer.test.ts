import { expect, it } from 'vitest';
import { restAnswer } from './rest-answer.js';

const rested = (name: string, isSecret = true) => ({
  name,
  kind: name,
  reachedAt: '2026-01-01T00:00:00.000Z',
  isSecret,
});
const REST = [rested('wall', false), rested('timing'), rested('os'), rested('seed')];

it('says what is left when some are known', () => {
  expect(restAnswer(REST, new Set(['os']))).toEqual({
    holds: true,
    sentence: 'Were os known, it would still be unpredictable: yes, from timing and seed.',
  });
});

it('says no when nothing is left that others do not know', () => {
  expect(restAnswer(REST, new Set(['os', 'timing', 'seed'])).holds).toBe(false);
  expect(restAnswer([rested('wall', false)], new Set()).holds).toBe(false);
  expect(restAnswer([], new Set()).holds).toBe(false);
});

it('never counts on what is no secret, struck out or not', () => {
  expect(restAnswer(REST, new Set(['wall'])).sentence).toBe(
    'Unpredictable, as long as one of these is: timing, os and seed.',
  );
});
