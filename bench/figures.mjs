/**
 * How often rivals take turns: LAMPLIGHTER_ROUNDS, to find out quickly where time goes.
 * @param {number} usually
 */
export const rounds = (usually) => Number(process.env.LAMPLIGHTER_ROUNDS ?? usually);

/**
 * Whether a load is asked for: LAMPLIGHTER_LOADS names those that are, or all are.
 * @param {'keepAlive' | 'connections' | 'hellos'} load
 */
export const isWanted = (load) => process.env.LAMPLIGHTER_LOADS?.split(',').includes(load) ?? true;

/** The middle one, or the mean of the two in the middle. @param {number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The value below which a share of them is, 0 < share ≤ 1. @param {number[]} values @param {number} share */
export function percentile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** A number with three figures or so, for a person. @param {number} value */
export function short(value) {
  if (!Number.isFinite(value)) return '-';
  return value.toLocaleString(
    'en',
    value < 100 ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: 0 },
  );
}

/** Prints rows under their headings, columns aligned. @param {string[][]} rows the first one holds the headings */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]),
    );
    console.log(`  ${cells.join('   ')}`);
  }
}
