import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** What init.sh and agent.sh need of the host beside busybox: its `timeout` ends whole process groups. */
const ALWAYS = ['/usr/bin/timeout'];

/**
 * For a guest with `copied`: programs with the libraries they are linked to, and folders.
 * @param programs - absolute paths
 * @param others - absolute paths of files and folders, as they are
 */
export function closure(programs: readonly string[], others: readonly string[] = []): string[] {
  const all = [...ALWAYS, ...programs];
  return [...new Set([...all, ...all.flatMap(librariesOf), ...others])];
}

/** The folder of a built npm package and those of all packages that it needs to run. */
export function packageClosure(folder: string): string[] {
  const found = new Set<string>();
  const visit = (at: string): void => {
    if (found.has(at)) return;
    found.add(at);
    for (const name of dependenciesOf(at)) visit(installed(name, at));
  };
  visit(folder);
  return [...found];
}

/** What ldd prints: `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`. */
function librariesOf(program: string): string[] {
  const said = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...said.matchAll(/(?:^|\s)(\/\S+) \(0x/gm)].flatMap(([, file]) => file ?? []);
}

function dependenciesOf(folder: string): string[] {
  const manifest: unknown = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const has = typeof manifest === 'object' && manifest !== null && 'dependencies' in manifest;
  return has ? Object.keys(manifest.dependencies ?? {}) : [];
}

/** Where Node would find a package: in the nearest node_modules, from a folder upwards. */
function installed(name: string, from: string): string {
  for (let at = from; ; at = path.dirname(at)) {
    const folder = path.join(at, 'node_modules', name);
    if (existsSync(folder)) return folder;
    if (at === path.dirname(at)) throw new Error(`${name} is not installed`);
  }
}
