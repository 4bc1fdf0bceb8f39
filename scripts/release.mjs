// `node scripts/release.mjs [--out FOLDER] [--previous COMMIT]`: makes everything that a release consists of, from the commit that is
// checked out and nothing else, by default in dist/release. The same commit, compilers and npm make the same bytes. It publishes nothing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { builtTree, commitOf, previousFolder, root, run } from './built-tree.mjs';
import { sbom } from './sbom.mjs';

const PACKAGES = ['core', 'native', 'lamplighter'];
const ARCHITECTURES = ['amd64', 'arm64'];
const COMPATIBILITY = 'e2e/compatibility/previous.test.ts';

/** What keeps a tree from being released, for a person to see to. */
export class NotReleasable extends Error {}

/**
 * Looks whether what is checked out may be released.
 * @param repository - a git checkout
 * @returns version, commit, its time in seconds since 1970, and what is new
 * @throws NotReleasable
 */
export function releasable(repository) {
  const git = (...args) => run('git', ['-C', repository, ...args]).trim();
  const changed = git('status', '--porcelain');
  if (changed !== '') throw new NotReleasable(`not everything is committed:\n${changed}`);
  const versions = PACKAGES.map((name) => {
    const manifest = JSON.parse(readFileSync(join(repository, 'packages', name, 'package.json'), 'utf8'));
    return manifest.version;
  });
  const [version] = versions;
  if (versions.some((other) => other !== version)) {
    throw new NotReleasable(`the packages have different versions: ${versions.join(', ')}`);
  }
  const news = changelogSection(readFileSync(join(repository, 'CHANGELOG.md'), 'utf8'), version);
  return {
    version,
    commit: commitOf('HEAD', repository),
    epoch: Number(git('log', '-1', '--format=%ct')),
    news,
  };
}

/**
 * Finds what CHANGELOG.md says of a version.
 * @returns the section with its heading, `## VERSION, YYYY-MM-DD`
 * @throws NotReleasable when there is none, it has no date or it is empty
 */
export function changelogSection(text, version) {
  const sections = text.split(/^(?=## )/m).filter((section) => section.startsWith('## '));
  const section = sections.find((one) => /^## ([^\s,]+)/.exec(one)?.[1] === version);
  if (section === undefined) throw new NotReleasable(`CHANGELOG.md has no section "## ${version}, DATE"`);
  const [heading = '', ...rest] = section.trimEnd().split('\n');
  if (!/^## [^\s,]+, \d{4}-\d{2}-\d{2}$/.test(heading)) {
    throw new NotReleasable(`CHANGELOG.md: "${heading}" has no date: "## ${version}, YYYY-MM-DD"`);
  }
  if (rest.join('').trim() === '') throw new NotReleasable(`CHANGELOG.md says nothing of ${version}`);
  return `${section.trimEnd()}\n`;
}

/** What `sha256sum --check` reads, of every file of a folder. */
export function checksums(folder) {
  const hash = (file) =>
    createHash('sha256')
      .update(readFileSync(join(folder, file)))
      .digest('hex');
  return filesOf(folder)
    .map((file) => `${hash(file)}  ${file}\n`)
    .join('');
}

/**
 * Makes a release.
 * @param repository - what {@link releasable} has accepted
 * @param folder - where it goes: must not be there, or be empty
 * @throws Error with what a step printed; the folder may then hold a part of it, without SHA256SUMS
 */
export function makeRelease(repository, folder, { version, commit, epoch, news }) {
  const out = resolve(folder);
  if (existsSync(out) && readdirSync(out).length > 0) throw new NotReleasable(`${out} is not empty`);
  const work = mkdtempSync(join(tmpdir(), 'lamplighter-release-'));
  const tree = join(work, 'lamplighter');
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(epoch) };
  const make = (script, ...args) =>
    run(process.execPath, [join(tree, script), '--built', ...args, out], { cwd: tree, env });
  try {
    builtTree(commit, tree, { repository });
    mkdirSync(out, { recursive: true });
    make('scripts/pack.mjs');
    for (const architecture of ARCHITECTURES) make('packaging/deb/build.mjs', '--arch', architecture);
    writeFileSync(join(out, `lamplighter-${version}.cdx.json`), sbom(tree, epoch));
    writeFileSync(join(out, `CHANGES-${version}.md`), news);
    writeFileSync(join(out, 'SHA256SUMS'), checksums(out));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Has today's tree and one of the release before talk to each other.
 * @param commit - of the release before
 * @throws NotReleasable when they do not understand each other
 */
function tryWith(commit) {
  const folder = previousFolder(commit);
  if (!existsSync(folder)) builtTree(commit, folder);
  const args = ['vitest', 'run', '--project', 'e2e', COMPATIBILITY];
  const env = { ...process.env, LAMPLIGHTER_PREVIOUS: folder };
  run('npm', ['run', 'build'], { cwd: root });
  const { status } = spawnSync('npx', args, { cwd: root, stdio: ['ignore', 2, 2], env });
  if (status !== 0)
    throw new NotReleasable(`${commit} and this one do not understand each other: ${COMPATIBILITY}`);
}

/** The last version before this one that has a tag; undefined for the first release. */
function tagBefore(version) {
  const args = ['-C', root, 'describe', '--tags', '--abbrev=0', '--match', 'v*', '--exclude', `v${version}`];
  const { status, stdout } = spawnSync('git', args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

const filesOf = (folder) => readdirSync(folder).toSorted();

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { out: { type: 'string' }, previous: { type: 'string' } } });
  const folder = values.out ?? join(root, 'dist/release');
  try {
    const release = releasable(root);
    const previous = values.previous ?? tagBefore(release.version);
    if (previous === undefined) console.error('no release before this one: none to try it with');
    else tryWith(commitOf(previous));
    makeRelease(root, folder, release);
    console.log(`${release.version} from ${release.commit} in ${resolve(folder)}:`);
    for (const file of filesOf(folder)) {
      const size = (statSync(join(folder, file)).size / 1024).toFixed(1);
      console.log(`${size.padStart(10)} KiB  ${file}`);
    }
  } catch (error) {
    if (!(error instanceof NotReleasable)) throw error;
    console.error(`not released: ${error.message}`);
    process.exitCode = 1;
  }
}
