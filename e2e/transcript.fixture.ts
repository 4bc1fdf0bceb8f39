import type { Place } from './place.fixture.js';
import { run } from './processes.fixture.js';

/** For tests: several lines as one text. */
export const lines = (...text: readonly string[]): string => text.join('\n');

/** For tests: what a command said, with our folder as DIR, ports as PORT and durations as N. */
export const plain = (text: string, place: Place): string =>
  text
    .replaceAll(place.folder, 'DIR')
    .replace(/(127\.0\.0\.1:|port |:)\d{4,5}/g, '$1PORT')
    .replace(/\d+ ms$/gm, 'N ms');

/** For tests: runs a command and gives what its user sees: standard error, made {@link plain}, and the exit code. */
export async function transcript(args: readonly string[], place: Place): Promise<string> {
  const { code, stderr } = await run(args, { cwd: place.folder });
  return `${plain(stderr, place)}exit ${code ?? 'by a signal'}`;
}
