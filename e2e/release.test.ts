import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { isFull, needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { COMPILERS } from './packages/packed.fixture.js';

/*
 * scripts/release.mjs, in a copy of this tree that is committed to a repository of its own. That the tarballs alone are the same bytes
 * twice is in e2e/packages; here it is all of a release, in full runs, because it is built twice from nothing.
 */

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-release-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SECTION = '## 0.1.0, 2030-01-02\n\n- Something that is new.\n';
const LONGEST_MS = 1_500_000;

function ran(cwd: string, command: string, ...args: string[]) {
  // Whoever runs this may have an identity of his own, or none.
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
  return spawnSync(command, args, { cwd, encoding: 'utf8', env, maxBuffer: 2 ** 26 });
}

function git(repository: string, ...args: string[]): string {
  const who = ['-c', 'user.name=test', '-c', 'user.email=test@example.invalid'];
  const { status, stdout, stderr } = ran(repository, 'git', ...who, ...args);
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

const commit = (repository: string): void => {
  git(repository, 'add', '--all');
  git(repository, 'commit', '--quiet', '--message', 'a release');
};

const release = (repository: string, ...args: string[]) =>
  ran(repository, process.execPath, 'scripts/release.mjs', ...args);

needs('git')('scripts/release.mjs', () => {
  describe('what may not be released', () => {
    let repository: string;
    let count = 0;

    /** The files it looks at before it builds anything. */
    beforeEach(() => {
      count += 1;
      repository = path.join(folder, `small-${count}`);
      for (const name of ['core', 'native', 'lamplighter']) {
        const manifest = `packages/${name}/package.json`;
        mkdirSync(path.join(repository, path.dirname(manifest)), { recursive: true });
        cpSync(path.join(ROOT, manifest), path.join(repository, manifest));
      }
      cpSync(path.join(ROOT, 'scripts'), path.join(repository, 'scripts'), { recursive: true });
      writeFileSync(path.join(repository, 'CHANGELOG.md'), `# Changelog\n\n${SECTION}`);
      git(folder, 'init', '--quiet', repository);
      commit(repository);
    });

    const refused = (message: string): void => {
      const out = path.join(repository, '../out');
      const { status, stdout, stderr } = release(repository, '--out', out);
      expect(stderr).toContain(`not released: ${message}`);
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      expect(readdirSync(folder)).not.toContain('out');
    };
    const changelog = (text: string): void => {
      writeFileSync(path.join(repository, 'CHANGELOG.md'), text);
      commit(repository);
    };

    it('a tree with something that is not committed', () => {
      writeFileSync(path.join(repository, 'notes.txt'), 'not yet');
      refused('not everything is committed:\n?? notes.txt');
    });

    it('a version of which the changelog says nothing', () => {
      changelog('# Changelog\n\n## 0.0.9, 2029-01-01\n\n- Old.\n');
      refused('CHANGELOG.md has no section "## 0.1.0, DATE"');
      changelog('# Changelog\n\n## 0.1.0, 2030-01-02\n\n## 0.0.9, 2029-01-01\n\n- Old.\n');
      refused('CHANGELOG.md says nothing of 0.1.0');
    });

    it('one that has no date yet', () => {
      changelog('# Changelog\n\n## 0.1.0, unreleased\n\n- New.\n');
      refused('CHANGELOG.md: "## 0.1.0, unreleased" has no date');
    });

    it('packages of different versions', () => {
      const file = path.join(repository, 'packages/core/package.json');
      writeFileSync(file, readFileSync(file, 'utf8').replace('"0.1.0"', '"0.1.1"'));
      commit(repository);
      refused('the packages have different versions: 0.1.1, 0.1.0, 0.1.0');
    });
  });

  it('makes a bill of materials with all that is installed, the same each time', () => {
    const made = () => {
      const script = `import { sbom } from '${ROOT}scripts/sbom.mjs'; process.stdout.write(sbom('${ROOT}', 1893542400));`;
      const { status, stdout, stderr } = ran(ROOT, process.execPath, '--input-type=module', '--eval', script);
      expect(status, stderr).toBe(0);
      return stdout;
    };
    const bill = made();
    expect(made()).toBe(bill);
    const { metadata, components } = JSON.parse(bill) as {
      metadata: { timestamp: string; component: { name: string } };
      components: { name: string; version: string; hashes?: { content: string }[]; licenses?: object[] }[];
    };
    expect(metadata).toMatchObject({
      timestamp: '2030-01-02T00:00:00.000Z',
      component: { name: 'lamplighter' },
    });
    const names = components.map(({ name }) => name);
    const { dependencies } = JSON.parse(
      readFileSync(path.join(ROOT, 'packages/lamplighter/package.json'), 'utf8'),
    ) as { dependencies: object };
    expect(names).toEqual(expect.arrayContaining([...Object.keys(dependencies), 'preact', 'uplot']));
    expect(names.filter((name) => /^(vitest|typescript|prettier|esbuild|oxlint)$/.test(name))).toEqual([]);
    for (const { name, hashes, licenses } of components) {
      expect(licenses?.length, name).toBeGreaterThan(0);
      if (!name.startsWith('@lamplighter/')) expect(hashes?.[0]?.content, name).toMatch(/^[0-9a-f]{128}$/);
    }
  });

  needs(...COMPILERS)('all of it', () => {
    it.runIf(isFull)(
      'twice the same bytes, and nothing else than what it says',
      ({ annotate }) => {
        const repository = path.join(folder, 'whole');
        // What git knows and what it would be told of: this very tree, whether or not it is committed.
        const files = git(ROOT, 'ls-files', '-z', '--cached', '--others', '--exclude-standard').split('\0');
        // One that was removed, and not committed so, is not there.
        for (const file of files.filter((name) => existsSync(path.join(ROOT, name)) && name !== '')) {
          mkdirSync(path.dirname(path.join(repository, file)), { recursive: true });
          cpSync(path.join(ROOT, file), path.join(repository, file), { verbatimSymlinks: true });
        }
        const changelog = path.join(repository, 'CHANGELOG.md');
        writeFileSync(changelog, readFileSync(changelog, 'utf8').replace('unreleased', '2030-01-02'));
        git(folder, 'init', '--quiet', repository);
        commit(repository);

        const hashes = ['one', 'two'].map((name) => {
          const out = path.join(folder, name);
          const { status, stdout, stderr } = release(repository, '--out', out);
          expect(status, stderr).toBe(0);
          void annotate(stdout);
          expect(ran(out, 'sha256sum', '--check', '--strict', 'SHA256SUMS').status).toBe(0);
          const files = readdirSync(out).toSorted();
          for (const file of files) expect(stdout).toContain(file);
          const hash = (file: string) =>
            createHash('sha256')
              .update(readFileSync(path.join(out, file)))
              .digest('hex');
          return files.map((file) => `${file} ${hash(file)}`);
        });
        expect(hashes[0]).toEqual(hashes[1]);
        expect(hashes[0]?.map((line) => line.split(' ')[0])).toEqual([
          'CHANGES-0.1.0.md',
          'SHA256SUMS',
          'lamplighter-0.1.0.cdx.json',
          'lamplighter-0.1.0.tgz',
          'lamplighter-core-0.1.0.tgz',
          'lamplighter-native-0.1.0.tgz',
          'lamplighter_0.1.0-1_amd64.deb',
          'lamplighter_0.1.0-1_arm64.deb',
        ]);
        const again = release(repository, '--out', path.join(folder, 'one'));
        expect(again.stderr).toContain('is not empty');
      },
      LONGEST_MS,
    );
  });
});
