// `node scripts/built-tree.mjs COMMIT FOLDER`: what was committed then, and nothing else, installed by its own lock file and built as it
// says itself. A release is made from such a tree; the compatibility test takes one of the release before (LAMPLIGHTER_PREVIOUS).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Makes the tree of a commit. It appears whole or not at all.
 * @param commit - anything git knows a commit by
 * @param folder - must not be there, or be empty
 * @param options - `repository`: this one unless told
 * @throws Error with what a step printed if it fails; the folder is then not there
 */
export function builtTree(commit, folder, { repository = root } = {}) {
  const target = resolve(folder);
  if (existsSync(target) && readdirSync(target).length > 0) throw new Error(`${target} is not empty`);
  mkdirSync(dirname(target), { recursive: true });
  const tree = mkdtempSync(`${target}.`);
  try {
    const archive = run('git', ['-C', repository, 'archive', '--format=tar', commit], { encoding: 'buffer' });
    run('tar', ['-x', '-C', tree], { input: archive });
    run('npm', ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'], { cwd: tree });
    run('npm', ['run', 'build'], { cwd: tree });
    rmSync(target, { recursive: true, force: true });
    renameSync(tree, target);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** Runs a program to its end. @returns its stdout @throws Error with what it printed if it fails */
export function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
    ...options,
  });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? ''}${stdout}${stderr}`);
}

/** The commit that a name means. @throws Error when it means none */
export const commitOf = (name, repository = root) =>
  run('git', ['-C', repository, 'rev-parse', '--verify', '--end-of-options', `${name}^{commit}`]).trim();

/** Where the tree of the release before is kept: in the user's cache. */
export function previousFolder(commit) {
  const cache = process.env.XDG_CACHE_HOME ?? join(process.env.HOME ?? '', '.cache');
  return join(cache, 'lamplighter/previous', commit);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [commit, folder] = process.argv.slice(2);
  if (commit === undefined || folder === undefined) {
    console.error('usage: node scripts/built-tree.mjs COMMIT FOLDER');
    process.exit(64);
  }
  builtTree(commitOf(commit), folder);
  console.log(resolve(folder));
}
