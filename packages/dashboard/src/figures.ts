/** Numbers as people read them. */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** Bytes with a decimal unit and three digits: `64 B`, `1.53 kB`, `412 kB`. */
export function bytes(count: number): string {
  let rest = Math.max(0, count);
  let unit = 0;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1_000;
    unit += 1;
  }
  return `${digits(rest, unit === 0)} ${UNITS[unit] ?? 'B'}`;
}

/** Bytes a second. */
export function byteRate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

/** Times a second, with three digits: `0.2/s`, `12.4/s`. */
export function timesRate(perSecond: number): string {
  return `${digits(perSecond, false)}/s`;
}

/** A whole number with thin groups: `12 345`. */
export function whole(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

/** How long, in its two largest units: `3 min 20 s`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([count], i) => i === 0 || count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

/** How long ago, or `just now`. */
export function ago(ms: number): string {
  return ms < 2_000 ? 'just now' : `${duration(ms)} ago`;
}

/** The time of day of the reader: `14:05:09`. */
export function clock(atMs: number): string {
  return new Date(atMs).toLocaleTimeString('en-GB');
}

/** Three significant digits, or whole. */
function digits(value: number, isWhole: boolean): string {
  if (isWhole && Number.isInteger(value)) return String(value);
  if (value === 0) return '0';
  if (value >= 100) return String(Math.round(value));
  return String(Number(value.toFixed(value >= 10 ? 1 : 2)));
}

/** Names in a sentence: `a`, `a and b`, `a, b and c`. */
export function list(names: readonly string[]): string {
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1) ?? ''}`;
}
