import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { needs } from '../../packages/lamplighter/src/needs.fixture.js';
import { ran, ROOT } from './packed.fixture.js';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly scripts?: Record<string, string>;
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly optional?: boolean;
}

const read = (...file: string[]): string => readFileSync(path.join(ROOT, ...file), 'utf8');
const manifestOf = (folder: string): Manifest => JSON.parse(read(folder, 'package.json')) as Manifest;

const OWN = ['.', 'packages/core', 'packages/native', 'packages/lamplighter'];
const KINDS = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'] as const;
const locked = Object.entries(
  (JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> }).packages,
);
/** What is installed with ours, wherever npm has put it. */
const inProduction = locked.filter(
  ([at, entry]) => at.startsWith('node_modules/') && !entry.dev && !entry.link,
);

/** Those that ask for no more than a notice. */
const ALLOWED_LICENCES = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT'];

describe('direct dependencies', () => {
  const direct = OWN.flatMap((folder) =>
    KINDS.flatMap((kind) => Object.entries(manifestOf(folder)[kind] ?? {})),
  );

  it('are named by exact versions, which are those locked and installed', () => {
    expect(direct.length).toBeGreaterThan(20);
    for (const [name, version] of direct) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
      expect(manifestOf(`node_modules/${name}`).version, name).toBe(version);
    }
  });

  it('of core and native are none: they need Node alone', () => {
    for (const folder of ['packages/core', 'packages/native']) {
      for (const kind of KINDS) expect(manifestOf(folder), folder).not.toHaveProperty(kind);
    }
  });

  describe('on the page about them', () => {
    const [, atRunTime = '', forBuilding = ''] = read('docs/DEPENDENCIES.md').split(/^## .*$/m);

    it.each([
      ['at run time', atRunTime, 'packages/lamplighter', 'dependencies'],
      ['for building and testing', forBuilding, '.', 'devDependencies'],
    ] as const)('those %s are all there, with their licences, and no others', (_, section, folder, kind) => {
      const rows = [...section.matchAll(/^\| (?!package|---)(.*) \|$/gm)].map(([, row = '']) =>
        row.split(' | '),
      );
      const licences = rows.flatMap((row) => {
        const names = (row[0] ?? '').split(', ');
        const given = (row.at(-1) ?? '').split(', ');
        return names.map((name, i): [string, string] => [name, given[i] ?? given[0] ?? '']);
      });
      const ours = Object.keys(manifestOf(folder)[kind] ?? {}).filter(
        (name) => !name.startsWith('@lamplighter/'),
      );
      expect(licences.map(([name]) => name).sort()).toEqual(ours.sort());
      for (const [name, licence] of licences) {
        expect(licence, name).toBe(manifestOf(`node_modules/${name}`).license);
      }
    });
  });
});

describe('what is installed with ours', () => {
  it('has a licence that asks for no more than a notice', () => {
    expect(inProduction.length).toBeGreaterThan(20);
    const licences = inProduction.map(([at]) => [at, manifestOf(at).license]);
    expect(licences.filter(([, licence]) => !ALLOWED_LICENCES.includes(licence ?? ''))).toEqual([]);
  });

  it('runs nothing at installation', () => {
    for (const [at] of inProduction) {
      const scripts = Object.keys(manifestOf(at).scripts ?? {});
      expect(
        scripts.filter((name) => /^(pre|post)?install$/.test(name)),
        at,
      ).toEqual([]);
      // npm would run node-gyp by itself.
      expect(existsSync(path.join(ROOT, at, 'binding.gyp')), at).toBe(false);
    }
    for (const folder of OWN) {
      expect(
        Object.keys(manifestOf(folder).scripts ?? {}).filter((name) => /install|prepare/.test(name)),
      ).toEqual([]);
    }
  });

  it('is the version that is locked', () => {
    for (const [at, { version }] of inProduction) expect(manifestOf(at).version, at).toBe(version);
  });
});

describe('the lock file', () => {
  it('has a hash for each package and the host of none', () => {
    const fromRegistries = locked.filter(([at, entry]) => at.startsWith('node_modules/') && !entry.link);
    expect(
      fromRegistries.filter(([, { integrity }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '')),
    ).toEqual([]);
    expect(fromRegistries.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    for (const [, { resolved }] of locked) expect(resolved ?? 'packages/').toMatch(/^packages\//);
  });
});

/** What a secret looks like: name, pattern, and what makes one to see that the pattern finds it. */
const SECRETS: readonly [string, RegExp, (random: string) => string][] = [
  [
    'private key',
    /-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}/,
    (r) => `${'-'.repeat(5)}BEGIN PRIVATE KEY-----\n${r}`,
  ],
  ['enrolment token', /lamplighter-token-1\.[A-Za-z0-9_-]{32}/, (r) => ['lamplighter-token-1', r].join('.')],
  ['npm token', /\bnpm_[A-Za-z0-9]{36}\b|_authToken\s*=\s*[^$\s]/, (r) => `npm_${r.slice(0, 36)}`],
  ['GitHub token', /\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22})/, (r) => `ghp_${r.slice(0, 36)}`],
  ['AWS key', /\b(AKIA|ASIA)[A-Z0-9]{16}\b/, (r) => `AKIA${r.toUpperCase().slice(0, 16)}`],
  ['Slack token', /\bxox[abprs]-[A-Za-z0-9-]{10}/, (r) => `xoxb-${r.slice(0, 12)}`],
  ['JSON web token', /\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\./, (r) => `eyJ${r}.eyJ${r}.`],
  [
    'password in an address',
    /\b[a-z]+:\/\/[^\s/:@'"`<>${}]+:[^\s/@'"`<>${}]{3,}@[a-z]/,
    (r) => `ftp://me:${r.slice(0, 9)}@host`,
  ],
];

/** Written down on purpose: a token of known bytes, and addresses that must be refused or must not be shown. */
const NO_SECRETS: Record<string, RegExp> = {
  'enrolment token': /^packages\/lamplighter\/src\/identity\/token\.test\.ts$/,
  'password in an address': /\.test\.ts$/,
};

needs('git')('tracked files', () => {
  const names = ran('git', ['ls-files', '-z'], { cwd: ROOT }).stdout.split('\0').filter(Boolean);
  const files = names
    .filter((name) => existsSync(path.join(ROOT, name)))
    .map((name) => ({ name, text: read(name) }));

  it.each(SECRETS)('hold no %s', (kind, pattern, example) => {
    expect(example('a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0')).toMatch(pattern);
    expect(files.length).toBeGreaterThan(100);
    const found = files.filter(({ text }) => pattern.test(text)).map(({ name }) => name);
    expect(found.filter((name) => NO_SECRETS[kind]?.test(name) !== true)).toEqual([]);
  });
});
