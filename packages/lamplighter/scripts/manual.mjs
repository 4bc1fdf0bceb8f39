// Writes the manual pages into dist/man, from the definitions behind --help and from the schemas; `tsc -b` must have run.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../dist/man/', import.meta.url));

/** @returns {Promise<string>} the folder */
export async function writeManual() {
  const { manualPages } = await import('../dist/cli/manual.js');
  // Whoever builds it twice from the same sources wants the same bytes (reproducible-builds.org).
  const { SOURCE_DATE_EPOCH: epoch } = process.env;
  const madeAt = epoch === undefined ? new Date() : new Date(Number(epoch) * 1_000);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of manualPages(madeAt)) writeFileSync(`${folder}${name}`, text);
  return folder;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeManual();
