import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { nativeAddon } from '@lamplighter/native';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from './needs.fixture.js';

/** An OS of which every random byte is known, to OpenSSL and to the addon. */
const KNOWN_OS = `
#include <string.h>
#include <sys/types.h>
int getentropy(void *bytes, size_t length) { memset(bytes, 0x42, length); return 0; }
ssize_t getrandom(void *bytes, size_t length, unsigned flags) { (void)flags; memset(bytes, 0x42, length); return (ssize_t)length; }
`;

/** An unchanged program: what its crypto gives, with values that Node cached before anything of ours was loaded. */
const CACHE_FIRST = `import { randomUUID, randomInt } from 'node:crypto'; randomUUID(); randomInt(10);`;
const PROGRAM = `import c from 'node:crypto';
const many = (n, make) => Array.from({ length: n }, make);
console.log(JSON.stringify({
  bytes: c.randomBytes(16).toString('hex'),
  key: c.generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x,
  uuids: many(200, () => c.randomUUID()),
  integers: many(1500, () => c.randomInt(2 ** 40)),
}));`;

interface Drawn {
  readonly bytes: string;
  readonly key: string;
  readonly uuids: readonly string[];
  readonly integers: readonly number[];
}

const hasAddon = nativeAddon().supported;
const name = `node --import lamplighter/register, where the OS RNG is known${hasAddon ? '' : ' (needs the addon)'}`;

needs('gcc', 'setarch')(name, () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'lamplighter-register-'));
    writeFileSync(path.join(folder, 'known.c'), KNOWN_OS);
    writeFileSync(path.join(folder, 'cache-first.mjs'), CACHE_FIRST);
    writeFileSync(path.join(folder, 'program.mjs'), PROGRAM);
    execFileSync('gcc', [
      '-shared',
      '-fPIC',
      '-o',
      path.join(folder, 'known.so'),
      path.join(folder, 'known.c'),
    ]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function run(imports: readonly string[], env: Record<string, string> = {}): Drawn {
    const flags = imports.flatMap((specifier) => ['--import', specifier]);
    const answer = execFileSync(
      'setarch',
      ['-R', process.execPath, ...flags, path.join(folder, 'program.mjs')],
      {
        encoding: 'utf8',
        env: { ...process.env, ...env, LD_PRELOAD: path.join(folder, 'known.so'), UV_THREADPOOL_SIZE: '1' },
      },
    );
    return JSON.parse(answer) as Drawn;
  }

  const cacheFirst = (): string => path.join(folder, 'cache-first.mjs');
  const register = new URL('../dist/register.js', import.meta.url).href;

  it('an unhedged program draws the same in two runs: so the experiment can fail', () => {
    expect(run([cacheFirst()])).toEqual(run([cacheFirst()]));
  });

  it.skipIf(!hasAddon)('a hedged one shares not one value with another run, nor with itself unhedged', () => {
    const [one, two, unhedged] = [
      run([cacheFirst(), register]),
      run([cacheFirst(), register]),
      run([cacheFirst()]),
    ];
    for (const other of [two, unhedged]) {
      expect(one.bytes).not.toBe(other.bytes);
      expect(one.key).not.toBe(other.key);
      expect(one.uuids.filter((uuid) => other.uuids.includes(uuid))).toEqual([]);
      expect(one.integers.filter((integer) => other.integers.includes(integer))).toEqual([]);
    }
  });

  it('without the addon nothing is mixed in: two runs draw the same, whatever time it is', () => {
    const off = { LAMPLIGHTER_NATIVE: 'off' };
    expect(run([cacheFirst(), register], off)).toEqual(run([cacheFirst(), register], off));
  });
});

describe.skipIf(!hasAddon)('node --import lamplighter/register (needs the addon)', () => {
  it('tells in one debug line what it did, and answers in a worker thread too', () => {
    const script = `
      import { Worker } from 'node:worker_threads';
      import { hedge } from 'lamplighter/register';
      console.log(hedge.status().state, hedge.status().reseeds);
      new Worker("import('lamplighter/register').then(({ hedge }) => console.log(hedge.status().state))", { eval: true });`;
    const output = execFileSync(
      process.execPath,
      ['--import', 'lamplighter/register', '--input-type=module', '-e', script],
      {
        encoding: 'utf8',
        env: { ...process.env, NODE_DEBUG: 'lamplighter' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    expect(output.trim().split('\n')).toEqual(['hedged 1', 'hedged']);
  });
});
