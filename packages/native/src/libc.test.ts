import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { libcOf, ownLibc, type ReadAt } from './libc.js';

/** An ELF file with one program header of another kind before the loader's. */
function executable(loader: string, { bits = 2, order = 1, kind = 3, nameAt = 8192 } = {}): Buffer {
  const file = Buffer.alloc(nameAt + loader.length + 1);
  file.set([0x7f, 0x45, 0x4c, 0x46, bits, order]);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(2, 56);
  file.writeUInt32LE(1, 64);
  file.writeUInt32LE(kind, 120);
  file.writeBigUInt64LE(BigInt(nameAt), 128);
  file.writeBigUInt64LE(BigInt(loader.length + 1), 152);
  file.write(loader, nameAt, 'latin1');
  return file;
}

const reading =
  (file: Uint8Array): ReadAt =>
  (at, lengthBytes) =>
    Buffer.from(file.subarray(at, at + lengthBytes));

describe('libcOf', () => {
  it.each([
    ['/lib64/ld-linux-x86-64.so.2', 'glibc'],
    ['/lib/ld-linux-aarch64.so.1', 'glibc'],
    ['/nix/store/abc-glibc-2.40/lib/ld-linux-x86-64.so.2', 'glibc'],
    ['/lib/ld-musl-x86_64.so.1', 'musl'],
    ['/lib/ld-musl-aarch64.so.1', 'musl'],
    ['/system/bin/linker64', undefined],
    ['', undefined],
  ])('of a program whose loader is "%s" is %s', (loader, libc) => {
    expect(libcOf(reading(executable(loader)))).toBe(libc);
  });

  it.each([
    ['32 bits', { bits: 1 }],
    ['big-endian', { order: 2 }],
    ['linked statically', { kind: 2 }],
  ])('is unknown of a program that is %s', (_, difference) => {
    expect(libcOf(reading(executable('/lib/ld-musl-x86_64.so.1', difference)))).toBeUndefined();
  });

  it('takes any bytes and asks for few, whatever they say', () => {
    const any = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(any, fc.boolean(), (bytes, isElf) => {
        const file = isElf ? Buffer.concat([executable('x').subarray(0, 32), bytes]) : bytes;
        let asked = 0;
        libcOf((at, lengthBytes) => {
          asked += lengthBytes;
          return reading(file)(at, lengthBytes);
        });
        expect(asked).toBeLessThanOrEqual(64 + 65_535 * 56 + 4096);
      }),
    );
  });

  it.runIf(process.platform === 'linux')('agrees with what the runtime reports of itself', () => {
    const report = spawnSync(
      process.execPath,
      ['-p', 'process.report.excludeNetwork = true; process.report.getReport().header.glibcVersionRuntime'],
      { encoding: 'utf8' },
    ).stdout.trim();
    expect(ownLibc()).toBe(report === 'undefined' ? 'musl' : 'glibc');
  });
});

describe('ownLibc', () => {
  it.runIf(process.platform === 'linux')(
    'takes the next file where one cannot be read, and knows when none can',
    () => {
      expect(ownLibc(['/nonexistent', '/', process.execPath])).toBe(ownLibc());
      expect(ownLibc(['/nonexistent', '/'])).toBeUndefined();
    },
  );

  it('is unknown for what is no program', () => {
    expect(ownLibc([fileURLToPath(import.meta.url), process.execPath])).toBeUndefined();
  });
});
