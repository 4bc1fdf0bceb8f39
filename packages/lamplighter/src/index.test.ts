import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const DIST = new URL('../dist/', import.meta.url);
const inDist = (name: string): string => new URL(name, DIST).href;

function node(args: readonly string[], env: Record<string, string> = {}): string {
  return execFileSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, ...env } });
}

describe('import lamplighter', () => {
  it('loads no third-party package and nothing of ours but local/, core and the addon', () => {
    const hook = `import { register } from 'node:module'; register(${JSON.stringify(inDist('local/loaded-modules.fixture.js'))});`;
    const lines = node([
      '--import',
      `data:text/javascript,${encodeURIComponent(hook)}`,
      '--input-type=module',
      '-e',
      `await import('lamplighter'); await import('lamplighter/register');`,
    ]).split('\n');
    const files = lines.filter((line) => line.startsWith('file:'));
    const allowed = [
      inDist('index.js'),
      inDist('register.js'),
      inDist('local/'),
      new URL('../../core/dist/', import.meta.url).href,
      new URL('../../native/dist/', import.meta.url).href,
    ];
    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((file) => !allowed.some((start) => file.startsWith(start)))).toEqual([]);
    expect(lines.filter((line) => line !== '' && !/^(file|node|data):/.test(line))).toEqual([]);
  });

  it.each([
    [
      'an ES module',
      ['--input-type=module', '-e', `import * as l from 'lamplighter'; console.log(l.randomUUID().length)`],
    ],
    ['CommonJS', ['--input-type=commonjs', '-e', `console.log(require('lamplighter').randomUUID().length)`]],
  ])('works from %s', (_, args) => {
    expect(node(args).trim()).toBe('36');
  });

  it('gives the functions of one instance, and what to ask and to tell it', async () => {
    const library = await import('./index.js');
    expect(library.status().seeded).toBe(false);
    expect(library.randomBytes(8)).toHaveLength(8);
    expect(library.status()).toMatchObject({ seeded: true, sources: [] });
    const own = library.Lamplighter.create({ sources: [{ name: 'mine', sample: () => Uint8Array.of(1) }] });
    await own.ready();
    expect(own.randomInt(1)).toBe(0);
    expect(own.status()).toMatchObject({
      seeded: true,
      sources: [{ name: 'mine', state: 'ok', answers: 2 }],
    });
    const names = own.status().separators.map(({ name }) => name);
    expect(names).toEqual(['cycle-counter', 'cpu', 'vm-generation', 'boot-id']);
  });

  it('keeps no process alive', () => {
    const script = `import { randomBytes } from 'lamplighter'; for (let i = 0; i < 100; i++) randomBytes(32);`;
    expect(node(['--import', 'lamplighter/register', '--input-type=module', '-e', script])).toBe('');
  });
});

describe('node --import lamplighter/register', () => {
  const ask = `const { hedge } = await import('lamplighter/register');
    console.log(JSON.stringify([hedge.status().state, globalThis[Symbol.for('lamplighter.hedge')] === hedge]));`;

  it('without the addon says so, in the property and in one debug line, and goes on', () => {
    const args = ['--import', 'lamplighter/register', '--input-type=module', '-e', ask];
    const quiet = node(args, { LAMPLIGHTER_NATIVE: 'off' });
    expect(JSON.parse(quiet)).toEqual(['unhedged', true]);
    const script = `${process.execPath} --import lamplighter/register -e 0 2>&1`;
    const debug = execFileSync('sh', ['-c', script], {
      encoding: 'utf8',
      cwd: fileURLToPath(DIST),
      env: { ...process.env, NODE_DEBUG: 'lamplighter', LAMPLIGHTER_NATIVE: 'off' },
    });
    expect(debug).toMatch(
      /^LAMPLIGHTER \d+: OpenSSL is not hedged: switched off by LAMPLIGHTER_NATIVE=off\n$/,
    );
  });
});
