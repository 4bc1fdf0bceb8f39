import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  addonFile,
  buildScript,
  compileAddon,
  inChild,
  needsAddon,
  temporaryFolder,
} from './addon.fixture.js';
import type { Ability } from './ability.js';
import { addon, addonTarget } from './addon.js';
import * as native from './index.js';
import { ownLibc } from './libc.js';

const built = addonTarget(process.platform, process.arch, ownLibc());
const platform = built.supported ? built.value : 'no';

/** Every ability of the package, asked with arguments it accepts. */
const ABILITIES: Record<string, (from: typeof native) => Ability<unknown>> = {
  nativeAddon: (from) => from.nativeAddon(),
  cycleCounter: (from) => from.cycleCounter(),
  rdseed: (from) => from.rdseed(8),
  rdrand: (from) => from.rdrand(8),
  cpuRandom: (from) => from.cpuRandom(8),
  getrandom: (from) => from.getrandom(8),
  addEntropy: (from) => from.addEntropy(new Uint8Array(8), 0),
  reseedKernel: (from) => from.reseedKernel(),
  entropyCount: (from) => from.entropyCount(),
  reseedOpenssl: (from) => from.reseedOpenssl(new Uint8Array(8)),
  peerCredentials: (from) => from.peerCredentials(0),
  lockFile: (from) => from.lockFile(0, { exclusive: true }),
  disableCoreDumps: (from) => from.disableCoreDumps(),
  vmGeneration: (from) => from.vmGeneration(),
  aes256CtrInto: (from) =>
    from.aes256CtrInto(new Uint8Array(32), new Uint8Array(16), new Uint8Array(8), 'little'),
  hmacInto: (from) => from.hmacInto('sha256', new Uint8Array(32), new Uint8Array(8), new Uint8Array(32)),
};

describe('without the addon', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.resetModules();
  });

  it('every ability says so, and none throws: switched off', async () => {
    vi.stubEnv('LAMPLIGHTER_NATIVE', 'off');
    vi.resetModules();
    const off = await import('./index.js');
    const functions = Object.keys(off).filter((name) => name !== 'able' && name !== 'unable');
    expect(Object.keys(ABILITIES).sort(), 'none is forgotten here').toEqual(functions.sort());
    for (const ask of Object.values(ABILITIES)) {
      expect(ask(off)).toEqual({ supported: false, reason: 'switched off by LAMPLIGHTER_NATIVE=off' });
    }
  });
});

describe('addonTarget', () => {
  it.each([
    ['linux', 'x64', 'glibc', 'linux-x64'],
    ['linux', 'arm64', 'glibc', 'linux-arm64'],
    ['linux', 'x64', 'musl', 'linux-x64-musl'],
    ['linux', 'arm64', 'musl', 'linux-arm64-musl'],
    ['linux', 'riscv64', 'glibc', 'linux-riscv64'],
    ['darwin', 'arm64', undefined, 'darwin-arm64'],
    ['win32', 'x64', undefined, 'win32-x64'],
  ] as const)('on %s %s with %s is %s', (platformName, arch, libc, target) => {
    expect(addonTarget(platformName, arch, libc)).toEqual({ supported: true, value: target });
  });

  it('is none on a Linux whose C library nobody can tell', () => {
    expect(addonTarget('linux', 'x64', undefined)).toEqual({
      supported: false,
      reason: 'the native addon cannot be chosen: this program names neither glibc’s loader nor musl’s',
    });
  });
});

needsAddon('an installation whose addon', () => {
  const folder = temporaryFolder();

  /** This package copied elsewhere, with `put` as its addon. */
  async function installed(name: string, put: (file: string) => void): Promise<Ability<unknown>> {
    const copy = path.join(folder, name);
    for (const part of ['src', 'dist']) mkdirSync(path.join(copy, part), { recursive: true });
    for (const source of ['addon.ts', 'ability.ts', 'libc.ts']) {
      copyFileSync(fileURLToPath(new URL(source, import.meta.url)), path.join(copy, 'src', source));
    }
    put(path.join(copy, 'dist', `lamplighter-${platform}.node`));
    const module = (await import(path.join(copy, 'src', 'addon.ts'))) as { addon: typeof addon };
    return module.addon();
  }

  it('was not built says so', async () => {
    expect(await installed('none', () => undefined)).toEqual({
      supported: false,
      reason: `the native addon is not built for ${platform}`,
    });
  });

  it('cannot be loaded says so in one line', async () => {
    const found = await installed('garbage', (file) => writeFileSync(file, 'not a library'));
    expect(found).toMatchObject({
      supported: false,
      reason: expect.stringMatching(/^the native addon cannot be loaded: [^\n]+$/) as string,
    });
  });

  it('is of another version is not called', async () => {
    const other = compileAddon(folder, 'other', '-DADDON_VERSION=0');
    expect(await installed('old', (file) => renameSync(other, file))).toEqual({
      supported: false,
      reason: 'the native addon was built from another version',
    });
  });
});

needsAddon('the addon', () => {
  it('is here', () => {
    expect(native.nativeAddon()).toEqual({ supported: true, value: addonFile() });
  });

  it('takes any arguments at all: it answers or throws, TypeError or RangeError only', () => {
    const found = addon();
    if (!found.supported) throw new Error(found.reason);
    // Not disableCoreDumps, which is for good, and not lockFile, which would lock this process's own files.
    const names = Object.keys(found.value).filter(
      (name) => !['scratch', 'version', 'disableCoreDumps', 'lockFile'].includes(name),
    );
    const detached = new Uint8Array(8);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const buffer: unknown = Reflect.construct(ArrayBuffer, [32, { maxByteLength: 64 }]);
    const resizable: unknown = Reflect.construct(Uint8Array, [buffer]);
    const argument = fc.oneof(
      fc.anything(),
      fc.uint8Array({ maxLength: 40 }),
      fc.double(),
      fc.constantFrom(
        detached,
        new Uint8Array(new SharedArrayBuffer(32)),
        resizable,
        new DataView(new ArrayBuffer(16)),
        Symbol('s'),
        2n ** 70n,
        new Proxy({}, {}),
      ),
    );
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(argument, { maxLength: 5 }), (name, args) => {
        const call: unknown = Reflect.get(found.value, name);
        if (typeof call !== 'function') throw new Error(`${name} is no function`);
        try {
          Reflect.apply(call, undefined, args);
        } catch (error) {
          if (!(error instanceof TypeError) && !(error instanceof RangeError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('leaves no answer behind in the memory it shares with JavaScript', () => {
    const found = addon();
    if (!found.supported) throw new Error(found.reason);
    for (const ask of [native.rdrand, native.cpuRandom, native.getrandom]) {
      ask(512);
      // The cycle counter, which is no secret, stays in the first eight bytes.
      expect(found.value.scratch.subarray(8).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('works in many threads at once, each with memory of its own, and outlives them', () => {
    const script = `
      const { Worker } = require('node:worker_threads');
      const work = (file) => {
        const native = require(file);
        for (let i = 0; i < 2000; i++) { native.readCycles(); native.kernelRandom(32); native.rdrand(32); }
        native.kernelRandom(32);
        require('node:worker_threads').parentPort.postMessage(Buffer.from(native.scratch.slice(0, 32)).toString('hex'));
      };
      const run = () => new Promise((resolve, reject) => {
        new Worker('(' + work + ')(' + JSON.stringify(process.argv[1]) + ')', { eval: true })
          .on('message', resolve).on('error', reject);
      });
      (async () => {
        const seen = new Set();
        for (let round = 0; round < 3; round++)
          for (const bytes of await Promise.all(Array.from({ length: 4 }, run))) seen.add(bytes);
        tell(seen.size, native.kernelRandom(32));
      })();
    `;
    expect(inChild(script)).toEqual([12, true]);
  });
});

describe('build.mjs', () => {
  const folder = temporaryFolder();
  const build = (
    args: string[],
    env: NodeJS.ProcessEnv = process.env,
  ): { status: number | null; stderr: string } => {
    const { status, stderr } = spawnSync(process.execPath, [buildScript, ...args], { encoding: 'utf8', env });
    return { status, stderr };
  };

  it('says in one line that there is no compiler, and succeeds', () => {
    const output = path.join(folder, 'none.node');
    expect(build([output], { PATH: folder })).toEqual({
      status: 0,
      stderr: 'native addon not built: there is no C compiler; lamplighter works without it\n',
    });
    expect(existsSync(output)).toBe(false);
  });

  needsAddon('with a compiler', () => {
    it('is silent and does nothing when nothing has changed', () => {
      expect(build([])).toEqual({ status: 0, stderr: '' });
    });

    it('fails when the compiler refuses, and leaves nothing behind', () => {
      const output = path.join(folder, 'broken.node');
      const { status, stderr } = build([output, '-Dnapi_value=']);
      expect(status).toBe(1);
      expect(stderr).toContain('error');
      expect(existsSync(output)).toBe(false);
    });
  });
});
