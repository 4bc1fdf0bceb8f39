// Compiles the addons that the package carries, so that nobody who installs it needs a compiler. `node prebuild.mjs [FOLDER]`.
//
// One file for each machine in TARGETS; elsewhere Lamplighter works without. Debian's cross-compilers make them (packages
// gcc-aarch64-linux-gnu and musl-tools); musl on arm64 is not among them because Debian has no C library for it to link with.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileWith } from './build.mjs';

/** As src/addon.ts names the files; `kernel`: where the kernel's headers are, for a compiler that does not find them. */
const TARGETS = [
  { name: 'linux-x64', compiler: 'x86_64-linux-gnu-gcc' },
  { name: 'linux-arm64', compiler: 'aarch64-linux-gnu-gcc' },
  { name: 'linux-x64-musl', compiler: 'x86_64-linux-musl-gcc', kernel: '/usr/include' },
];

/** No symbol table: nobody debugs what he did not build, and it would name the build's own files. */
const FLAGS = ['-Wl,--strip-all'];

/**
 * Compiles every addon, or none that could be mistaken for all of them.
 * @param folder - where they go
 * @returns their paths
 * @throws Error naming the compiler that is missing or refused
 */
export function prebuild(folder) {
  const missing = TARGETS.filter(
    ({ compiler }) => spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status !== 0,
  );
  if (missing.length > 0) {
    throw new Error(
      `no addon for ${missing.map(({ name, compiler }) => `${name} (needs ${compiler})`).join(', ')}`,
    );
  }
  return TARGETS.map(({ name, compiler, kernel }) => {
    const output = path.join(folder, `lamplighter-${name}.node`);
    const headers = kernel === undefined ? undefined : kernelHeaders(kernel);
    try {
      const flags = headers === undefined ? FLAGS : [...FLAGS, '-idirafter', headers];
      if (!compileWith(compiler, output, flags)) throw new Error(`${compiler} refused the addon`);
    } finally {
      if (headers !== undefined) rmSync(headers, { recursive: true });
    }
    return output;
  });
}

/** A folder of links to the kernel's headers alone: beside them stand glibc's, which must not be found. */
function kernelHeaders(include) {
  const folder = mkdtempSync(path.join(tmpdir(), 'lamplighter-headers-'));
  for (const name of ['linux', 'asm', 'asm-generic']) {
    const found = [path.join(include, name), path.join(include, 'x86_64-linux-gnu', name)].find(existsSync);
    if (found !== undefined) symlinkSync(found, path.join(folder, name));
  }
  return folder;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = fileURLToPath(new URL('../dist', import.meta.url))] = process.argv.slice(2);
  for (const file of prebuild(folder)) console.log(file);
}
