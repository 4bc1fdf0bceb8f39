import type { Paint, Tone } from './display.js';

/** One cell: text, and how it is painted once its place is measured. */
export interface Cell {
  readonly text: string;
  readonly tone?: Tone | undefined;
}

/** A column; those with a higher `rank` go first when there is no room. The first column has none: it stays, and is cut. */
export interface Column {
  readonly title: string;
  readonly rank: number;
  readonly align: 'left' | 'right';
}

const GAP = '  ';
const LEAST_FIRST_WIDTH = 6;

/** A table that is never wider than it may be: columns go before anything is cut. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  { width, paint }: { readonly width: number; readonly paint: Paint },
): string[] {
  if (rows.length === 0) return [];
  const all = [columns.map(({ title }): Cell => ({ text: title, tone: 'dim' })), ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((row) => lengthOf(row[i]?.text ?? ''))));
  const total = (kept: readonly number[]): number =>
    kept.reduce((sum, i) => sum + (widths[i] ?? 0), GAP.length * (kept.length - 1));
  let kept = columns.map((_, i) => i);
  while (kept.length > 1 && total(kept) > width) {
    const last = kept.reduce((one, other) => (rankOf(other) > rankOf(one) ? other : one));
    if (rankOf(last) === 0) break;
    kept = kept.filter((i) => i !== last);
  }
  const spare = width - total(kept);
  if (spare < 0) widths[0] = Math.max(LEAST_FIRST_WIDTH, (widths[0] ?? 0) + spare);
  return all.map((row) =>
    kept
      .map((i) => {
        const { text = '', tone } = row[i] ?? {};
        const placed = aligned(text, widths[i] ?? 0, columns[i]?.align ?? 'left');
        return tone === undefined ? placed : paint(tone, placed);
      })
      .join(GAP)
      .trimEnd(),
  );

  function rankOf(i: number): number {
    return columns[i]?.rank ?? 0;
  }
}

/** A label and what there is to say, over as many lines as it takes. */
export function labelledLines(label: string, text: string, width: number): string[] {
  return wrapped(text, width - LABEL_WIDTH).map(
    (line, i) => `${(i === 0 ? label : '').padEnd(LABEL_WIDTH)}${line}`,
  );
}

const LABEL_WIDTH = 13;

/** Text in lines that are no longer than they may be; a word that is longer than a line is broken. */
export function wrapped(text: string, width: number): string[] {
  const most = Math.max(16, width);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((any) => pieces(any, most))) {
    if (line === '') line = word;
    else if (lengthOf(line) + 1 + lengthOf(word) <= most) line += ` ${word}`;
    else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line];
}

function pieces(word: string, most: number): string[] {
  const characters = Array.from(word);
  const count = Math.max(1, Math.ceil(characters.length / most));
  return Array.from({ length: count }, (_, i) => characters.slice(i * most, (i + 1) * most).join(''));
}

function aligned(text: string, width: number, align: Column['align']): string {
  const cut =
    lengthOf(text) <= width
      ? text
      : `${Array.from(text)
          .slice(0, width - 1)
          .join('')}…`;
  const space = ' '.repeat(width - lengthOf(cut));
  return align === 'left' ? `${cut}${space}` : `${space}${cut}`;
}

const lengthOf = (text: string): number => Array.from(text).length;
