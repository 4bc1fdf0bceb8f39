import { canRedraw } from './display.js';

/** Whoever waits this long is told for what. */
const SILENT_MS = 1_000;
const REDRAW_EVERY_MS = 1_000;

let isShown = false;

/**
 * Shows what is going on as one line on standard error that is written over; nothing at all where that is no terminal.
 * The next line that is said or answered takes its place.
 */
export function showProgress(line: string): void {
  if (!canRedraw(process.stderr)) return;
  // One column is left free: a line that fills the last one begins the next.
  process.stderr.write(`\r\u001b[K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
  isShown = true;
}

/** Takes the line away, if there is one. */
export function clearProgress(): void {
  if (!isShown) return;
  process.stderr.write('\r\u001b[K');
  isShown = false;
}

/**
 * Waits for something, and shows what for and how long already once that has taken a second.
 * @param what - `asking 3 relays`
 */
export async function during<T>(what: string, work: Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const show = (): void => showProgress(`${what} … ${Math.floor((performance.now() - startedMs) / 1_000)} s`);
  let every: NodeJS.Timeout | undefined;
  const after = setTimeout(() => {
    show();
    every = setInterval(show, REDRAW_EVERY_MS);
  }, SILENT_MS);
  try {
    return await work;
  } finally {
    clearTimeout(after);
    clearInterval(every);
    clearProgress();
  }
}
