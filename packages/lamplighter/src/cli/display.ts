/** How good something is: what it is painted by. */
export type Tone = 'good' | 'weak' | 'bad' | 'dim';

/** Paints text, or leaves it as it is. */
export type Paint = (tone: Tone, text: string) => string;

/** Green, yellow, red; what matters less stays dim. */
const COLOURS: Readonly<Record<Tone, number>> = { good: 32, weak: 33, bad: 31, dim: 2 };

/** Colour is for eyes only: not in a pipe, and not where somebody wants none (no-color.org). */
export function painter(out: NodeJS.WriteStream): Paint {
  const isColoured = out.isTTY && (process.env['NO_COLOR'] ?? '') === '' && !isDumb();
  return isColoured ? (tone, text) => `\x1b[${COLOURS[tone]}m${text}\x1b[0m` : (_, text) => text;
}

/** Whether something can be written over what is shown already. */
export const canRedraw = (out: NodeJS.WriteStream): boolean => out.isTTY && !isDumb();

/** Columns that a line may take: those of the terminal, or of COLUMNS, or as many as `up` takes. */
export function widthOf(out: NodeJS.WriteStream): number {
  const asked = Number(process.env['COLUMNS']);
  const elsewhere = Number.isInteger(asked) && asked > 0 ? asked : 100;
  return Math.max(LEAST_WIDTH, (out.isTTY ? out.columns : elsewhere) || 80);
}

const LEAST_WIDTH = 40;

const isDumb = (): boolean => process.env['TERM'] === 'dumb';
