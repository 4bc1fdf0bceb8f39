// Compiles the native addon into dist/, for this machine. Without a C compiler it says so in one line and succeeds: all of
// Lamplighter works without the addon. `node build.mjs OUTPUT FLAG…` compiles elsewhere with further flags; tests use it.
// What is packed for others is made by prebuild.mjs.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
const sourceFolder = path.join(packageFolder, 'src');

const FLAGS = (
  '-std=c11 -O2 -fPIC -shared -fvisibility=hidden -Wall -Wextra -Werror ' +
  '-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -Wl,-z,relro,-z,now'
).split(' ');

/**
 * Builds the addon if its sources are newer.
 * @returns false when there is a compiler and it refused; its messages are on stderr
 */
export function buildAddon() {
  const addonFile = path.join(packageFolder, 'dist', `lamplighter-${ownTarget()}.node`);
  const newest = Math.max(...sources(/\.[ch]$/).map(modifiedAt), modifiedAt(fileURLToPath(import.meta.url)));
  return modifiedAt(addonFile) >= newest || compile(addonFile, []);
}

/** As src/addon.ts names its files: the compiler's own C library is taken to be Node's. */
function ownTarget() {
  const compiler = ownCompiler();
  const machine = compiler && spawnSync(compiler, ['-dumpmachine'], { encoding: 'utf8' }).stdout;
  return `${process.platform}-${process.arch}${machine?.trim().endsWith('musl') ? '-musl' : ''}`;
}

function ownCompiler() {
  return [process.env.CC, 'cc', 'gcc', 'clang'].find(
    (name) => name && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
}

function compile(output, flags) {
  const include = headers();
  const compiler = ownCompiler();
  const missing =
    process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)
      ? `nothing to build for ${process.platform}-${process.arch}`
      : (include === undefined && 'node-api-headers is not installed') ||
        (!compiler && 'there is no C compiler');
  if (missing) {
    console.error(`native addon not built: ${missing}; lamplighter works without it`);
    return true;
  }
  return compileWith(compiler, output, flags);
}

/**
 * Compiles the addon's sources with a compiler that is known to be there.
 * @returns false when it refused; its messages are on stderr, and there is no output
 */
export function compileWith(compiler, output, flags) {
  mkdirSync(path.dirname(output), { recursive: true });
  // Two builds at once must not leave half a file.
  const temporary = `${output}.${process.pid}`;
  const { status } = spawnSync(
    compiler,
    [...FLAGS, ...flags, '-isystem', headers(), '-o', temporary, ...sources(/\.c$/)],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  if (status === 0) renameSync(temporary, output);
  else rmSync(temporary, { force: true });
  return status === 0;
}

function headers() {
  try {
    return createRequire(import.meta.url)('node-api-headers').include_dir;
  } catch {
    return undefined;
  }
}

function sources(name) {
  return readdirSync(sourceFolder)
    .filter((file) => name.test(file) && !file.includes('.fixture.'))
    .map((file) => path.join(sourceFolder, file));
}

function modifiedAt(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [output, ...flags] = process.argv.slice(2);
  process.exitCode = (output === undefined ? buildAddon() : compile(output, flags)) ? 0 : 1;
}
