/*
 * Numbers as a person reads them at a glance: a few digits and a unit. What is exact is in --json.
 */

/** `83 MB` */
export function sizeWords(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1_000 ** power;
  return `${power === 0 ? Math.round(value) : threeDigits(value)} ${units[power] ?? ''}`;
}

/** `1.3 MB/s`; nothing when it is not known. */
export const sizeRateWords = (bytesPerSecond: number | undefined): string =>
  bytesPerSecond === undefined ? '' : `${sizeWords(bytesPerSecond)}/s`;

/** `12.5/s`; nothing when it is not known. */
export const rateWords = (perSecond: number | undefined): string =>
  perSecond === undefined ? '' : `${threeDigits(perSecond)}/s`;

/** `1,234,567` */
export const countWords = (count: number): string => count.toLocaleString('en');

/** `once`, `12 times` */
export const timesWords = (count: number): string => (count === 1 ? 'once' : `${countWords(count)} times`);

/** `3 h 12 min`, the two largest units that matter. */
export function durationWords(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  for (const [unit, length, below, lengthBelow] of UNITS) {
    if (seconds < length) continue;
    const rest = Math.floor((seconds % length) / lengthBelow);
    return `${Math.floor(seconds / length)} ${unit}${rest === 0 ? '' : ` ${rest} ${below}`}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** `3.0 s ago`, by two clocks that may differ: never in the future. */
export const agoWords = (iso: string, nowMs: number): string =>
  `${durationWords(nowMs - Date.parse(iso))} ago`;

const UNITS = [
  ['d', 86_400, 'h', 3_600],
  ['h', 3_600, 'min', 60],
  ['min', 60, 's', 1],
] as const;

const threeDigits = (value: number): string =>
  value >= 100 || value === 0 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
