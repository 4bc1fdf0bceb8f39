// `node packaging/deb/build.mjs [--built] [--arch amd64|arm64] [--compression xz|gzip] [FOLDER]`: builds everything, unless told that
// it is, and makes lamplighter_VERSION_ARCH.deb, by default into dist/packages. No root is needed. The same sources, compilers and
// SOURCE_DATE_EPOCH make the same bytes.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TARGETS } from './runtime.mjs';
import { filesBelow, fillTree, run } from './tree.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const here = (name) => join(root, 'packaging/deb', name);
/** Debian's own part of the version. */
const REVISION = 1;
const SCRIPTS = ['postinst', 'prerm', 'postrm'];

/**
 * Makes the package of what is built.
 * @param folder - where it goes; made if need be
 * @param options - `architecture`: a key of TARGETS; `compression`: xz, or gzip, which is quick and large
 * @returns its path
 * @throws Error if something is missing; there is no package then
 */
export function buildDeb(folder, { architecture = 'amd64', compression = 'xz' } = {}) {
  const target = TARGETS[architecture];
  if (target === undefined)
    throw new Error(`no package for ${architecture}: ${Object.keys(TARGETS).join(', ')}`);
  const { version: upstream } = JSON.parse(
    readFileSync(join(root, 'packages/lamplighter/package.json'), 'utf8'),
  );
  const version = `${upstream}-${REVISION}`;
  const epoch = Number(
    process.env.SOURCE_DATE_EPOCH ?? run('git', ['-C', root, 'log', '-1', '--format=%ct']),
  );
  if (!Number.isSafeInteger(epoch)) throw new Error('SOURCE_DATE_EPOCH is not a number of seconds');
  const stage = mkdtempSync(join(tmpdir(), 'lamplighter-deb-'));
  try {
    fillTree(stage, target, changelog(version, epoch));
    putControl(stage, { version, architecture });
    mkdirSync(folder, { recursive: true });
    const deb = join(folder, `lamplighter_${version}_${architecture}.deb`);
    // On one core: how many there are would show in the bytes.
    const how = [
      '--root-owner-group',
      '--threads-max=1',
      `-Z${compression}`,
      `-z${compression === 'xz' ? 6 : 1}`,
      '--build',
      stage,
      deb,
    ];
    run('dpkg-deb', how, { ...process.env, SOURCE_DATE_EPOCH: String(epoch) });
    return deb;
  } finally {
    rmSync(stage, { recursive: true });
  }
}

function putControl(stage, { version, architecture }) {
  const files = filesBelow(stage);
  const sizes = files.map((file) => Math.ceil(lstatSync(file).size / 1024));
  const sums = files.map((file) => {
    const md5 = createHash('md5').update(readFileSync(file)).digest('hex');
    return `${md5}  ${relative(stage, file)}\n`;
  });
  const values = {
    '@VERSION@': version,
    '@ARCHITECTURE@': architecture,
    '@MAINTAINER@': maintainer(),
    '@INSTALLED_KIB@': String(sizes.reduce((sum, size) => sum + size, 0)),
  };
  const folder = join(stage, 'DEBIAN');
  mkdirSync(folder);
  const put = (name, text, mode = 0o644) => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), mode);
  };
  const control = readFileSync(here('control'), 'utf8');
  put(
    'control',
    control.replace(/@[A-Z_]+@/g, (name) => values[name]),
  );
  put('md5sums', sums.join(''));
  put(
    'conffiles',
    files
      .map((file) => `/${relative(stage, file)}\n`)
      .filter((file) => file.startsWith('/etc/'))
      .join(''),
  );
  for (const name of SCRIPTS) {
    cpSync(here(name), join(folder, name));
    chmodSync(join(folder, name), 0o755);
  }
  chmodSync(folder, 0o755);
}

/** The news are upstream's changelog; this one says which package it is. */
function changelog(version, epoch) {
  const date = new Date(epoch * 1_000).toUTCString().replace('GMT', '+0000');
  const news = `Lamplighter ${version.split('-', 1)[0]}: changelog.gz says what is new.`;
  return `lamplighter (${version}) unstable; urgency=medium\n\n  * ${news}\n\n -- ${maintainer()}  ${date}\n`;
}

/** As Debian's tools are told who packages. */
function maintainer() {
  const { DEBFULLNAME = 'Lamplighter maintainers', DEBEMAIL = 'lamplighter@packages.invalid' } = process.env;
  return `${DEBFULLNAME} <${DEBEMAIL}>`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      built: { type: 'boolean', default: false },
      arch: { type: 'string', default: 'amd64' },
      compression: { type: 'string', default: 'xz' },
    },
  });
  if (!values.built) run('npm', ['--prefix', root, 'run', 'build']);
  const [folder = join(root, 'dist/packages')] = positionals;
  const deb = buildDeb(folder, { architecture: values.arch, compression: values.compression });
  console.log(`${deb}: ${(lstatSync(deb).size / 1e6).toFixed(1)} MB`);
}
