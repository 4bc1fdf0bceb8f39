// `node scripts/pack.mjs [--built] [FOLDER]`: builds everything, unless told that it is, and packs the public packages as tarballs
// for npm, by default into dist/packages. A tarball holds what its package needs to run and nothing else, the addons of all machines among it, so that no
// install script and no compiler is needed. Made in a folder of its own, because a dist/ in use also holds what was built from
// sources that are gone, an addon of this machine, and maps to sources that are not packed.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prebuild } from '../packages/native/scripts/prebuild.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** In the order in which they depend on each other; `made`: folders of dist/ that tsc does not write. */
const PACKAGES = [
  { name: 'core', made: [] },
  { name: 'native', made: [] },
  { name: 'lamplighter', made: ['bundle', 'dashboard', 'man'] },
];

/** Third-party packages that the page in dist/dashboard is compiled with. */
const IN_THE_PAGE = ['preact', 'uplot'];

/**
 * Packs what is built.
 * @param folder - where the tarballs go; made if need be
 * @returns for each package what `npm pack --json` says (name, filename, size and unpackedSize in bytes, files), in the order in
 *   which they are to be published
 * @throws Error if something is not built or a compiler is missing; the folder may then hold the packages before it
 */
export function pack(folder) {
  mkdirSync(folder, { recursive: true });
  return PACKAGES.map((which) => {
    const stage = mkdtempSync(join(tmpdir(), 'lamplighter-pack-'));
    try {
      fill(stage, which);
      const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', resolve(folder)];
      return JSON.parse(output('npm', args, stage))[0];
    } finally {
      rmSync(stage, { recursive: true });
    }
  });
}

function fill(stage, { name, made }) {
  const from = join(root, 'packages', name);
  for (const folder of made) {
    if (!existsSync(join(from, 'dist', folder))) throw new Error(`${name}/dist/${folder} is not built`);
  }
  for (const file of ['package.json', 'README.md', 'bin', 'dist']) {
    const isPacked = (path) => !/\.(test|fixture|compliance)\.|\.map$|\.tsbuildinfo$/.test(path);
    if (existsSync(join(from, file))) {
      cpSync(join(from, file), join(stage, file), { recursive: true, filter: isPacked });
    }
  }
  cpSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
  const declared = declarations(stage);
  for (const file of filesBelow(join(stage, 'dist'))) {
    const path = join(stage, 'dist', file);
    if (made.includes(file.split('/', 1)[0])) continue;
    const source = join(from, 'src', file.replace(/(\.d\.ts|\.js)$/, '.ts'));
    const text = readFileSync(path, 'utf8').replace(/^\/\/# sourceMappingURL=.*\n?/m, '');
    // What holds types alone is imported by nobody at run time.
    const isUsed = file.endsWith('.d.ts') ? declared.has(path) : text.trim() !== 'export {};';
    if (existsSync(source) && isUsed) writeFileSync(path, text);
    else rmSync(path);
  }
  if (made.includes('dashboard')) writeFileSync(join(stage, 'dist/dashboard/LICENSES.txt'), pageLicenses());
  if (name === 'native') prebuild(join(stage, 'dist'));
}

/** The licences of what is compiled into the page: whoever gets a copy of it gets them too. */
function pageLicenses() {
  const texts = IN_THE_PAGE.map((name) => {
    const folder = join(root, 'node_modules', name);
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return `${name} ${version}\n\n${readFileSync(join(folder, 'LICENSE'), 'utf8').trim()}\n`;
  });
  return texts.join('\n\n');
}

/** The declarations that someone who imports the package can see: what `exports` names, and what that refers to. */
function declarations(stage) {
  const { exports } = JSON.parse(readFileSync(join(stage, 'package.json'), 'utf8'));
  const seen = new Set();
  const queue = Object.values(exports).flatMap(({ types }) =>
    types === undefined ? [] : [join(stage, types)],
  );
  for (const file of queue) {
    if (seen.has(file)) continue;
    seen.add(file);
    for (const [, reference] of readFileSync(file, 'utf8').matchAll(
      /(?:from |import\()['"](\.[^'"]+)\.js['"]/g,
    )) {
      queue.push(join(file, '..', `${reference}.d.ts`));
    }
  }
  return seen;
}

function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

function output(command, args, cwd) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr}`);
  return stdout;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isBuilt = process.argv[2] === '--built';
  const [folder = join(root, 'dist/packages')] = process.argv.slice(isBuilt ? 3 : 2);
  if (!isBuilt) output('npm', ['run', 'build'], root);
  for (const { filename, files, size, unpackedSize } of pack(folder)) {
    const kib = (bytes) => `${Math.ceil(bytes / 1024)} KiB`;
    console.log(`${filename}: ${files.length} files, ${kib(size)}, unpacked ${kib(unpackedSize)}`);
  }
}
