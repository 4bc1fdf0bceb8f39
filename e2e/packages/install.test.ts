import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../../packages/lamplighter/src/needs.fixture.js';
import {
  COMPILERS,
  LONGEST_SETUP_MS,
  moduleFolder,
  packed,
  pathWithoutCompiler,
  printed,
  ran,
  ROOT,
  runtimes,
  type Runtime,
  temporaryFolder,
} from './packed.fixture.js';

const { folder, remove } = temporaryFolder();
afterAll(remove);
const project = path.join(folder, 'project');
const env = { ...process.env, PATH: path.join(folder, 'path') };
const ADDON = moduleFolder(project, 'native', `dist/lamplighter-linux-${process.arch}.node`);

const PAGES = ['README.md', ...['core', 'native', 'lamplighter'].map((name) => `packages/${name}/README.md`)];
const EXAMPLES = PAGES.flatMap(examples);

/** The JavaScript examples of a page of ours, each with the file it would be. */
function examples(page: string): { name: string; text: string }[] {
  const blocks = [...readFileSync(path.join(ROOT, page), 'utf8').matchAll(/^```js\n(.*?)^```$/gms)];
  return blocks.map(([, text = ''], i) => {
    const kind = text.includes('require(') ? 'cjs' : 'mjs';
    return { name: `${page.replaceAll('/', '-')}-${i + 1}.${kind}`, text };
  });
}

function written(name: string, text: string): string {
  writeFileSync(path.join(project, name), text);
  return path.join(project, name);
}

function said(runtime: Runtime, args: readonly string[], more: NodeJS.ProcessEnv = {}): string {
  return printed(runtime, args, { cwd: project, env: { ...env, ...more } });
}

needs(...COMPILERS, 'npm')('tarballs installed in an empty project, no script, no compiler', () => {
  beforeAll(() => {
    const tarballs = packed(path.join(folder, 'tarballs'));
    for (const name of [project, env.PATH]) mkdirSync(name);
    pathWithoutCompiler(env.PATH);
    written('package.json', '{ "private": true }');
    const install = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    ran('npm', [...install, ...Object.values(tarballs)], { cwd: project, env });
  }, LONGEST_SETUP_MS);

  it('there was no compiler, and nothing that wanted a script', () => {
    for (const compiler of ['cc', 'gcc', 'clang', 'make', 'python3']) {
      expect(spawnSync(compiler, ['--version'], { env }).error, compiler).toMatchObject({ code: 'ENOENT' });
    }
    const { packages } = JSON.parse(readFileSync(path.join(project, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean }>;
    };
    expect(Object.keys(packages)).toContain('node_modules/@lamplighter/native');
    expect(Object.entries(packages).filter(([, entry]) => entry.hasInstallScript === true)).toEqual([]);
  });

  it('npx finds the command', () => {
    const { stdout } = ran('npx', ['--no', '--', 'lamplighter', '--help'], { cwd: project, env });
    expect(stdout).toContain('Usage: lamplighter');
  });

  it('our pages have examples for ES modules and for CommonJS', () => {
    expect([...new Set(EXAMPLES.map(({ name }) => path.extname(name)))].sort()).toEqual(['.cjs', '.mjs']);
  });

  describe.each(runtimes())('on Node $version', (runtime) => {
    it.each(EXAMPLES)('the example $name runs, and nothing warns', ({ name, text }) => {
      const output = said(runtime, [written(name, text)]);
      // The repository's own page only imports.
      if (text.includes('console.log')) expect(output).not.toBe('');
    });

    it('require and import give the same instance of every entry, and the addon is there', () => {
      const script = written('both.cjs', BOTH);
      const { counts, addon } = JSON.parse(said(runtime, [script])) as { counts: number[]; addon: unknown };
      expect(counts.length).toBe(4);
      for (const count of counts) expect(count).toBeGreaterThan(0);
      expect(addon).toEqual({ supported: true, value: ADDON });
    });

    it.each(['--import', '--require'])('%s lamplighter/register reseeds its OpenSSL', (flag) => {
      const ask = 'console.log(globalThis[Symbol.for("lamplighter.hedge")].status().state); process.exit()';
      expect(said(runtime, [flag, 'lamplighter/register', '-e', ask])).toBe('hedged\n');
    });

    it('where the addon is off, away or broken, the library goes on and it is said', () => {
      const script = written('without.mjs', WITHOUT);
      const ask = (more = {}): unknown => JSON.parse(said(runtime, [script], more));
      const [reason, seeded, state] = ask({ LAMPLIGHTER_NATIVE: 'off' }) as unknown[];
      expect([reason, seeded]).toEqual(['switched off by LAMPLIGHTER_NATIVE=off', true]);
      expect(state).not.toBe('hedged');
      renameSync(ADDON, `${ADDON}.away`);
      try {
        expect(ask()).toEqual([`the native addon is not built for linux-${process.arch}`, true, state]);
        writeFileSync(ADDON, 'cut off');
        expect(ask()).toEqual([expect.stringMatching(/^the native addon cannot be loaded: /), true, state]);
      } finally {
        renameSync(`${ADDON}.away`, ADDON);
      }
    });

    it('the command line runs: doctor, and the agent from its bundle', () => {
      const program = path.join(project, 'node_modules/.bin/lamplighter');
      const [node, ...before] = runtime.command;
      // What doctor thinks of this machine is its exit code, and not asked here.
      const doctor = spawnSync(node, [...before, program, 'doctor', '--json'], { env, encoding: 'utf8' });
      const { facts } = JSON.parse(doctor.stdout) as { facts: Record<string, { values: unknown }> };
      expect(facts['addon']?.values).toMatchObject({ loaded: true });
      const unbundled = moduleFolder(project, 'lamplighter', 'dist/cli/agent-main.js');
      renameSync(unbundled, `${unbundled}.away`);
      try {
        expect(said(runtime, [program, 'agent', '--help'])).toContain('Usage: lamplighter agent');
      } finally {
        renameSync(`${unbundled}.away`, unbundled);
      }
    });
  });
});

const BOTH = `
  const names = ['@lamplighter/core', '@lamplighter/native', 'lamplighter', 'lamplighter/register'];
  const same = async (name) => {
    const [required, imported] = [require(name), await import(name)];
    const keys = Object.keys(required);
    return keys.every((key) => required[key] === imported[key]) && keys.length;
  };
  Promise.all(names.map(same)).then((counts) => {
    console.log(JSON.stringify({ counts, addon: require('@lamplighter/native').nativeAddon() }));
    process.exit();
  });
`;

const WITHOUT = `
  import { nativeAddon } from '@lamplighter/native';
  import { randomBytes, status } from 'lamplighter';
  import { hedge } from 'lamplighter/register';
  randomBytes(8);
  console.log(JSON.stringify([nativeAddon().reason, status().seeded, hedge.status().state]));
  process.exit();
`;
