import { writeSync } from 'node:fs';

/** A module loader hook that tells on stdout what is loaded, one address a line. */
export async function load(
  url: string,
  context: unknown,
  next: (url: string, context: unknown) => Promise<unknown>,
): Promise<unknown> {
  writeSync(1, `${url}\n`);
  return next(url, context);
}
