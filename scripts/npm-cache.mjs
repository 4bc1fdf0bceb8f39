// `node scripts/npm-cache.mjs NAME@VERSION`: has a package of npm's in the user's cache, fetched once, and prints its folder.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The Node of Debian's package, with which tests and benchmarks run things a second time. */
export const NODE_VERSION = '24.21.0';

/** Where a package is, or would be. @param version - exact */
export function cachedFolder(name, version) {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return join(cache, 'lamplighter', `${name}@${version}`, 'node_modules', name);
}

/** A package's folder, fetched if need be. @throws Error if it cannot be; nothing is left then */
export function cachedPackage(name, version) {
  const folder = cachedFolder(name, version);
  if (existsSync(folder)) return folder;
  const prefix = join(folder, ...name.split('/').map(() => '..'), '..');
  // --force: a Node of another architecture is no mistake here.
  const install = ['install', '--prefix', prefix, '--no-save', '--ignore-scripts', '--force', '--silent'];
  const { status, stderr } = spawnSync('npm', [...install, `${name}@${version}`], { encoding: 'utf8' });
  if (status === 0) return folder;
  rmSync(prefix, { recursive: true, force: true });
  throw new Error(`${name}@${version} could not be fetched: ${stderr}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, name, version] = /^(.+)@([^@]+)$/.exec(process.argv[2] ?? '') ?? [];
  if (name === undefined) throw new Error('name a package: NAME@VERSION');
  console.log(cachedPackage(name, version));
}
