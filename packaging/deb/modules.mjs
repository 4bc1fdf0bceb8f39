// What is installed with ours in production, as package-lock.json says, without what no program loads.
import { cpSync, readFileSync, readdirSync, rmSync, rmdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Folders at the top of a package that are for its own developers. Deeper ones of that name may be its program: yaml has dist/doc. */
const NOT_LOADED = [
  'test',
  'tests',
  '__tests__',
  'benchmark',
  'benchmarks',
  'bench',
  'docs',
  'example',
  'examples',
];
/** What Node loads, and licences. */
const LOADED = /(\.(js|cjs|mjs|json|wasm)|^licen[cs]e.*|^copying.*|^notice.*|^copyrightnotice.*)$/i;

/**
 * Copies third-party packages to where npm has them.
 * @param folder - node_modules of the new place
 * @returns of each package its name, version, licence, and the texts of that
 * @throws Error if one is not installed, or not in the version that is locked
 */
export function copyModules(folder) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const used = Object.entries(packages).filter(
    ([at, entry]) => at.startsWith('node_modules/') && !entry.dev && !entry.link && !entry.devOptional,
  );
  return used.map(([at, { version, license }]) => {
    const from = join(root, at);
    const to = join(folder, at.slice('node_modules/'.length));
    const installed = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8'));
    if (installed.version !== version)
      throw new Error(`${at} is ${installed.version}, not ${version}: npm ci`);
    cpSync(from, to, { recursive: true, filter: (path) => isLoaded(from, path) });
    const texts = readdirSync(to).filter((name) =>
      /^(licen[cs]e|copying|notice|copyrightnotice)/i.test(name),
    );
    const notices = texts.map((name) => readFileSync(join(to, name), 'utf8'));
    // They are all in the package's copyright file.
    for (const name of texts) rmSync(join(to, name));
    // Commands of theirs, which nobody calls here.
    const { bin = {} } = installed;
    for (const file of typeof bin === 'string' ? [bin] : Object.values(bin))
      rmSync(join(to, file), { force: true });
    removeEmptyFolders(to);
    return { name: installed.name, version, license, notices };
  });
}

function isLoaded(from, path) {
  const name = basename(path);
  if (path === from) return true;
  // Packages of its own have an entry of their own.
  if (name === 'node_modules' || name.startsWith('.')) return false;
  if (dirname(path) === from && NOT_LOADED.includes(name)) return false;
  return statSync(path).isDirectory() || LOADED.test(name);
}

function removeEmptyFolders(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyFolders(join(folder, entry.name));
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}
