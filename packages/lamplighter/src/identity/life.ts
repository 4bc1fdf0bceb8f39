import { LamplighterError } from '@lamplighter/core';

/** How far before its making a certificate of ours begins: the clocks of two machines differ, and it must be good at once on both. */
export const BACKDATE_MS = 5 * 60_000;

const UNITS_MS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 } as const;
const LONGEST_MS = 36_500 * UNITS_MS.d;

/**
 * Reads how long something lives: a whole number and a unit, as in `60s`, `15m`, `1h`, `30d`.
 * @returns milliseconds, 1 s .. 36,500 d
 * @throws LamplighterError ERR_USAGE for anything else
 */
export function parseLife(text: string): number {
  const [, digits, unit] = /^([0-9]{1,10})([dhms])$/.exec(text) ?? [];
  const lifeMs = digits === undefined || !isUnit(unit) ? Number.NaN : Number(digits) * UNITS_MS[unit];
  if (!isLife(lifeMs)) {
    throw new LamplighterError('ERR_USAGE', `${JSON.stringify(text.slice(0, 40))} is not a length of time`, {
      hint: 'write it as 60s, 15m, 1h or 30d, from 1s to 36500d',
    });
  }
  return lifeMs;
}

/**
 * Writes a length of time as {@link parseLife} reads it, in the largest unit that needs no fraction.
 * @param lifeMs - milliseconds; rounded up to a whole second
 */
export function lifeText(lifeMs: number): string {
  const wholeMs = Math.max(Math.ceil(lifeMs / UNITS_MS.s), 1) * UNITS_MS.s;
  const unit = (['d', 'h', 'm'] as const).find((larger) => wholeMs % UNITS_MS[larger] === 0) ?? 's';
  return `${wholeMs / UNITS_MS[unit]}${unit}`;
}

/**
 * Refuses a life that no certificate of ours has.
 * @throws RangeError unless it is 1 s .. 36,500 d in whole milliseconds
 */
export function checkLife(lifeMs: number): void {
  if (!isLife(lifeMs)) throw new RangeError('a life is 1,000 to 3,153,600,000,000 whole milliseconds');
}

function isLife(lifeMs: number): boolean {
  return Number.isInteger(lifeMs) && lifeMs >= UNITS_MS.s && lifeMs <= LONGEST_MS;
}

function isUnit(text: string | undefined): text is keyof typeof UNITS_MS {
  return text !== undefined && Object.hasOwn(UNITS_MS, text);
}
