// Installs and builds what is missing or older than its sources: shared by `npm start` and `npm test`.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from '../packages/native/scripts/build.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url));

const bin = (name) => join(root, 'node_modules/.bin', name);
const script = (path) => [process.execPath, [join(root, path)]];

/** What a build is, after the addon: name, command, arguments. */
export const BUILD = [
  ['types', bin('tsc'), ['-b']],
  ['agent', ...script('packages/lamplighter/scripts/bundle.mjs')],
  ['dashboard', ...script('packages/dashboard/build.mjs')],
  ['manual', ...script('packages/lamplighter/scripts/manual.mjs')],
];

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`lamplighter needs Node 20.19 or later; this is ${process.versions.node}`);
  process.exit(1);
}

/** Runs a command, showing what it prints only when it fails. */
function quietly(what, command, args) {
  process.stderr.write(`${what} …\n`);
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (status === 0) return;
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  console.error(`${what} failed`);
  process.exit(1);
}

const modifiedAt = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

/** C sources are left out: what they are built into says of itself whether it is old. */
function newestSource(folder) {
  return Math.max(
    ...readdirSync(folder, { withFileTypes: true }).map((entry) => {
      if (/\.[ch]$/.test(entry.name)) return 0;
      const path = join(folder, entry.name);
      return entry.isDirectory() ? newestSource(path) : modifiedAt(path);
    }),
    modifiedAt(folder),
  );
}

export function prepare() {
  const installed = modifiedAt(join(root, 'node_modules/.package-lock.json'));
  if (installed === 0 || installed < modifiedAt(join(root, 'package-lock.json'))) {
    quietly('installing', 'npm', ['ci', '--no-audit', '--no-fund']);
  }
  const packages = ['core', 'native', 'dashboard', 'lamplighter'].map((name) => join(root, 'packages', name));
  const isOld = (folder) => modifiedAt(join(folder, 'dist/.tsbuildinfo')) < newestSource(join(folder, 'src'));
  build(packages.some(isOld) ? BUILD : []);
}

/** Builds the addon if it is old, and then whatever is told. */
export function build(steps = BUILD) {
  if (!buildAddon()) console.error('the native addon could not be built; going on without it');
  for (const [name, command, args] of steps) quietly(`building: ${name}`, command, args);
}
