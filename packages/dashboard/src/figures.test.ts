import { expect, it } from 'vitest';
import { ago, byteRate, bytes, duration, list, timesRate, whole } from './figures.js';

it.each([
  [0, '0 B'],
  [64, '64 B'],
  [63.8, '63.8 B'],
  [999, '999 B'],
  [999.9, '1 kB'],
  [1_534, '1.53 kB'],
  [412_000, '412 kB'],
  [131_072_000, '131 MB'],
])('%d bytes are %s', (count, text) => expect(bytes(count)).toBe(text));

it('says rates with three digits', () => {
  expect([byteRate(302_400), timesRate(0.2), timesRate(12.44), timesRate(1_240)]).toEqual([
    '302 kB/s',
    '0.2/s',
    '12.4/s',
    '1240/s',
  ]);
});

it('says times in their two largest units', () => {
  expect([0, 59_999, 200_000, 3_600_000, 90_061_000].map((ms) => duration(ms))).toEqual([
    '0 s',
    '59 s',
    '3 min 20 s',
    '1 h',
    '1 d 1 h',
  ]);
  expect([ago(500), ago(61_000)]).toEqual(['just now', '1 min 1 s ago']);
});

it('groups digits, and names in a sentence', () => {
  expect(whole(1_234_567)).toBe('1\u202f234\u202f567');
  expect([list([]), list(['a']), list(['a', 'b']), list(['a', 'b', 'c'])]).toEqual([
    '',
    'a',
    'a and b',
    'a, b and c',
  ]);
});
