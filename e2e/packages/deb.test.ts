import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isFull, inFull, needs } from '../../packages/lamplighter/src/needs.fixture.js';
import { builtDeb, DEB_TOOLS, EPOCH } from './deb.fixture.js';
import { COMPILERS, LONGEST_SETUP_MS, manifest, ran, ROOT, temporaryFolder } from './packed.fixture.js';

const HOME = 'usr/lib/lamplighter';
const MODULES = `${HOME}/node_modules`;

/** Everything outside of node_modules is one of these. */
const ALLOWED = [
  /^etc\/lamplighter\/node\.yaml$/,
  /^usr\/bin\/lamplighter$/,
  /^usr\/lib\/lamplighter\/runtime$/,
  /^usr\/lib\/systemd\/system\/lamplighter-[a-z-]+@?\.(service|timer)$/,
  /^usr\/lib\/(systemd\/system-sleep\/lamplighter|(sysusers|tmpfiles)\.d\/lamplighter\.conf)$/,
  /^usr\/share\/man\/man[1-8]\/lamplighter[a-z-]*(\.yaml)?\.[1-8]\.gz$/,
  /^usr\/share\/(bash-completion\/completions\/lamplighter|zsh\/vendor-completions\/_lamplighter|fish\/vendor_completions\.d\/lamplighter\.fish)$/,
  /^usr\/share\/doc\/lamplighter\/(copyright|changelog(\.Debian)?\.gz|nodejs-LICENSE\.gz|examples\/[a-z.-]+)$/,
  /^usr\/share\/lamplighter\/(drop-ins|udev|cloud-init|libvirt)\/[a-z0-9.-]+$/,
  /^usr\/share\/lintian\/overrides\/lamplighter$/,
];
/** What Node loads, and what the page is made of. */
const LOADED = /\.(js|cjs|mjs|json|wasm|html|css|svg|png|webp|woff2)$|\/lamplighter-linux-x64\.node$/;
const NOT_LOADED = /\.(test|fixture|compliance)\.|\/(tests?|__tests__|benchmarks?)\/|\.d\.[mc]?ts$|\.map$/;

const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

inFull(() => needs(...COMPILERS, ...DEB_TOOLS, 'lintian'))('the Debian package', () => {
  const { folder, remove } = temporaryFolder();
  afterAll(remove);
  const root = path.join(folder, 'root');
  const at = (...rest: readonly string[]): string => path.join(root, ...rest);
  let deb: string;
  let files: string[];

  beforeAll(() => {
    deb = builtDeb(path.join(folder, 'first'));
    ran('dpkg-deb', ['-x', deb, root]);
    files = readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)));
  }, LONGEST_SETUP_MS);

  it.runIf(isFull)(
    'built again, in another place and by somebody with other habits, is the same bytes',
    () => {
      const habits = { TMPDIR: folder, TZ: 'Pacific/Apia', LC_ALL: 'C' };
      const again = builtDeb(path.join(folder, 'again'), { habits, umask: 0o077 });
      expect(sha256(again)).toBe(sha256(deb));
    },
    LONGEST_SETUP_MS,
  );

  it('has what a package of this kind has, and nothing else', () => {
    const others = files.filter((file) => !file.startsWith(MODULES));
    expect(others.filter((file) => !ALLOWED.some((pattern) => pattern.test(file)))).toEqual([]);
    for (const pattern of ALLOWED)
      expect(
        others.some((file) => pattern.test(file)),
        String(pattern),
      ).toBe(true);
    for (const shell of ['bash-completion/completions/lamplighter', 'zsh/vendor-completions/_lamplighter'])
      expect(readFileSync(at('usr/share', shell), 'utf8')).toContain('doctor');
  });

  it('has of each module what is loaded: no test, no map, no declaration, no addon of another machine', () => {
    const modules = files.filter((file) => file.startsWith(MODULES));
    expect(modules.length).toBeGreaterThan(500);
    expect(modules.filter((file) => !LOADED.test(file) || NOT_LOADED.test(file))).toEqual([]);
  });

  it('has what is locked for production, in that version, and nothing for development', () => {
    interface Lock {
      readonly packages: Record<string, { version?: string; dev?: boolean; link?: boolean }>;
    }
    const { packages } = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')) as Lock;
    for (const [name, { version, dev, link }] of Object.entries(packages)) {
      if (!name.startsWith('node_modules/') || link) continue;
      if (dev) expect(existsSync(at(HOME, name)), name).toBe(false);
      else expect(manifest(at(HOME, name)).version, name).toBe(version);
    }
  });

  it('installs the units that are tested elsewhere, as they are', () => {
    const units = readdirSync(path.join(ROOT, 'deploy/systemd')).filter((name) =>
      /\.(service|timer)$/.test(name),
    );
    expect(units.length).toBeGreaterThan(5);
    for (const name of units)
      expect(sha256(at('usr/lib/systemd/system', name)), name).toBe(
        sha256(path.join(ROOT, 'deploy/systemd', name)),
      );
  });

  it('belongs to root and can be written to by nobody else; programs alone can be run', () => {
    const listing = ran('dpkg-deb', ['-c', deb]).stdout.trim().split('\n');
    const programs: string[] = [];
    for (const line of listing) {
      const [mode = '', owner, , , , file = ''] = line.split(/\s+/);
      expect(owner, line).toBe('root/root');
      expect(mode, line).toMatch(/^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx)$/);
      if (mode.startsWith('-rwx')) programs.push(file);
    }
    expect(programs.sort()).toEqual([
      `./${MODULES}/lamplighter/bin/lamplighter.js`,
      `./${HOME}/runtime`,
      './usr/lib/systemd/system-sleep/lamplighter',
      './usr/share/lamplighter/libvirt/qemu',
    ]);
    const newest = Math.max(...files.map((file) => lstatSync(at(file)).mtimeMs));
    expect(newest).toBe(Number(EPOCH) * 1_000);
  });

  it('runs from where it lies, by its own Node, and finds its addon', () => {
    const cli = at(MODULES, 'lamplighter/bin/lamplighter.js');
    expect(readFileSync(cli, 'utf8').split('\n', 1)).toEqual([`#!/${HOME}/runtime`]);
    const said = ran(at(HOME, 'runtime'), [cli, 'config', 'check', at('etc/lamplighter/node.yaml')]);
    expect(said.stdout).toContain('node.yaml');
    const addon = `import('${at(MODULES, '@lamplighter/native/dist/index.js')}').then((n) => console.log(process.version, n.nativeAddon().supported))`;
    expect(ran(at(HOME, 'runtime'), ['-e', addon]).stdout).toBe('v24.21.0 true\n');
  });

  it(
    'pleases lintian',
    () => {
      // How Node's own messages are spelt is not ours to change, and takes it half of its time to look at.
      const how = ['--allow-root', '--fail-on', 'error', '-X', 'binaries/spelling'];
      const { stdout } = ran('lintian', [...how, '--tag-display-limit', '0', deb]);
      const warnings = stdout.split('\n').filter((line) => line.startsWith('W:'));
      // There is no bug in Debian's tracker to close: it is not Debian's package.
      expect(warnings.map((line) => line.split(' ')[2])).toEqual(['initial-upload-closes-no-bugs']);
    },
    LONGEST_SETUP_MS,
  );

  it('is not larger than it has to be', () => {
    const [, kib = ''] = /^ Installed-Size: (\d+)$/m.exec(ran('dpkg-deb', ['-I', deb]).stdout) ?? [];
    // 106 MiB of them Node, 108 MB without its names for debuggers.
    expect(Number(kib)).toBeGreaterThan(statSync(at(HOME, 'runtime')).size / 1024);
    expect(Number(kib)).toBeLessThan(125_000);
  });

  it.runIf(isFull)(
    'there is one for arm64, with its own Node and addon',
    () => {
      const arm = builtDeb(path.join(folder, 'arm64'), { architecture: 'arm64' });
      const listing = ran('dpkg-deb', ['-c', arm]).stdout;
      expect(listing.match(/[^/]+\.node$/gm)).toEqual(['lamplighter-linux-arm64.node']);
      const out = path.join(folder, 'arm64-root');
      ran('dpkg-deb', ['-x', arm, out]);
      expect(ran('readelf', ['-h', path.join(out, HOME, 'runtime')]).stdout).toContain('AArch64');
    },
    LONGEST_SETUP_MS,
  );
});
