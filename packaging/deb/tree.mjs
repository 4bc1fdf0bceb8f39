// What the package puts where, below one folder.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { pack } from '../../scripts/pack.mjs';
import { copyright } from './copyright.mjs';
import { copyModules } from './modules.mjs';
import { runtime } from './runtime.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const here = (name) => join(root, 'packaging/deb', name);
const deploy = (name) => join(root, 'deploy', name);

const HOME = 'usr/lib/lamplighter';
/** Not `node`: another program's, on the paths that tools look for it. */
const NODE = `/${HOME}/runtime`;
const COMMAND = `${HOME}/node_modules/lamplighter/bin/lamplighter.js`;
const DOC = 'usr/share/doc/lamplighter';

const COMPLETIONS = {
  bash: 'usr/share/bash-completion/completions/lamplighter',
  zsh: 'usr/share/zsh/vendor-completions/_lamplighter',
  fish: 'usr/share/fish/vendor_completions.d/lamplighter.fish',
};

/** Files and folders that are installed as they are; of a folder those of its files that match. */
const COPIED = [
  [deploy('systemd'), 'usr/lib/systemd/system', /\.(service|timer)$/],
  [deploy('systemd/system-sleep/lamplighter'), 'usr/lib/systemd/system-sleep/lamplighter'],
  [deploy('systemd/sysusers.d/lamplighter.conf'), 'usr/lib/sysusers.d/lamplighter.conf'],
  [here('tmpfiles.conf'), 'usr/lib/tmpfiles.d/lamplighter.conf'],
  [here('lintian-overrides'), 'usr/share/lintian/overrides/lamplighter'],
  [here('node.yaml'), 'etc/lamplighter/node.yaml'],
  [here('relay.yaml'), `${DOC}/examples/relay.yaml`],
  [here('enroll.env'), `${DOC}/examples/enroll.env`],
  // Not examples: deploy/README.md names them by these paths, and documentation may be left out of an installation.
  [deploy('systemd/drop-ins'), 'usr/share/lamplighter/drop-ins', /\.conf$/],
  [deploy('systemd/udev'), 'usr/share/lamplighter/udev', /\.rules$/],
  [deploy('cloud-init'), 'usr/share/lamplighter/cloud-init', /\.(cfg|yaml)$/],
  [deploy('libvirt'), 'usr/share/lamplighter/libvirt', /^[a-z.-]+$/],
];

/** Everybody may run these; the rest is 0644. */
const EXECUTABLE = [
  NODE.slice(1),
  COMMAND,
  'usr/lib/systemd/system-sleep/lamplighter',
  'usr/share/lamplighter/libvirt/qemu',
];

/**
 * Fills a folder with all that is installed.
 * @param folder - empty
 * @param target - of which architecture: one of TARGETS
 * @param changelog - text of changelog.Debian
 * @throws Error if something is not built, not installed or cannot be fetched
 */
export function fillTree(folder, target, changelog) {
  const at = (path) => join(folder, path);
  const { program, license } = runtime(target);
  mkdirSync(at(HOME), { recursive: true });
  // A sixth of it is names for debuggers.
  run(target.strip, ['--strip-unneeded', '-o', at(NODE), program]);
  ourPackages(at(`${HOME}/node_modules`), target);
  const modules = copyModules(at(`${HOME}/node_modules`));
  // By its own Node and no other, and without a shell: there may be none.
  const text = readFileSync(at(COMMAND), 'utf8');
  writeFileSync(at(COMMAND), text.replace(/^#!.*$/m, `#!${NODE}`));
  mkdirSync(at('usr/bin'), { recursive: true });
  symlinkSync(COMMAND.replace('usr', '..'), at('usr/bin/lamplighter'));

  for (const [from, to, names] of COPIED) copy(from, at(to), names);
  const ours = at(`${HOME}/node_modules/lamplighter/dist`);
  for (const page of readdirSync(join(ours, 'man'))) {
    put(at(`usr/share/man/man${page.at(-1)}/${page}.gz`), compressed(readFileSync(join(ours, 'man', page))));
  }
  rmSync(join(ours, 'man'), { recursive: true });
  for (const [shell, path] of Object.entries(COMPLETIONS)) {
    put(at(path), run(process.execPath, [at(COMMAND), 'completion', shell]));
  }
  const page = readFileSync(join(ours, 'dashboard/LICENSES.txt'), 'utf8');
  rmSync(join(ours, 'dashboard/LICENSES.txt'));
  put(at(`${DOC}/copyright`), copyright(modules, page));
  // Not in the same file, which must not have the text of Apache's licence: every Debian has that.
  put(at(`${DOC}/nodejs-LICENSE.gz`), compressed(readFileSync(license)));
  put(at(`${DOC}/changelog.gz`), compressed(readFileSync(join(root, 'CHANGELOG.md'))));
  put(at(`${DOC}/changelog.Debian.gz`), compressed(changelog));
  setModes(folder, '');
}

/** What npm would install of ours, without what is for those who compile against it. */
function ourPackages(modules, { addon }) {
  const tarballs = mkdtempSync(join(tmpdir(), 'lamplighter-deb-'));
  try {
    for (const { name, filename } of pack(tarballs)) {
      const folder = join(modules, name);
      mkdirSync(folder, { recursive: true });
      run('tar', ['-xzf', join(tarballs, filename), '--strip-components', '1', '-C', folder]);
    }
  } finally {
    rmSync(tarballs, { recursive: true });
  }
  for (const file of filesBelow(modules)) {
    const isOther = file.endsWith('.node') && basename(file) !== addon;
    if (isOther || /(\.d\.ts|\/README\.md|\/LICENSE)$/.test(file)) rmSync(file);
  }
}

function copy(from, to, names) {
  if (names === undefined) {
    mkdirSync(dirname(to), { recursive: true });
    cpSync(from, to);
    return;
  }
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isFile() && names.test(entry.name)) copy(join(from, entry.name), join(to, entry.name));
  }
}

function put(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** As `gzip -9n`: no name, no time. */
const compressed = (content) => gzipSync(content, { level: 9 });

function setModes(folder, path) {
  chmodSync(join(folder, path), 0o755);
  for (const entry of readdirSync(join(folder, path), { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) setModes(folder, inner);
    else if (entry.isFile()) chmodSync(join(folder, inner), EXECUTABLE.includes(inner) ? 0o755 : 0o644);
  }
}

/** Every file below a folder, in an order that is always the same. */
export function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Runs a program to its end. @returns what it printed @throws Error with what it said if it fails */
export function run(command, args, env = process.env) {
  const options = { encoding: 'utf8', env, maxBuffer: 16 * 1024 * 1024 };
  const { status, stdout, stderr, error } = spawnSync(command, args, options);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? stderr}`);
  return stdout;
}
