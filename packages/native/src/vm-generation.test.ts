import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { compileFaults, inChild, misuse, needsAddon, temporaryFolder } from './addon.fixture.js';
import { vmGeneration } from './vm-generation.js';

/** A page as linux/vmclock-abi.h lays it out. */
function page(
  generation: bigint,
  fields: { magic?: number; sequence?: number; flags?: bigint; lengthBytes?: number } = {},
): Buffer {
  const { magic = 0x4b4c4356, sequence = 4, flags = 1n << 8n, lengthBytes = 4096 } = fields;
  const bytes = Buffer.alloc(4096);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(sequence, 12);
  bytes.writeBigUInt64LE(flags, 24);
  bytes.writeBigUInt64LE(generation, 104);
  return bytes.subarray(0, lengthBytes);
}

needsAddon('vmGeneration', () => {
  const folder = temporaryFolder();
  const faults = compileFaults(folder);
  let files = 0;
  function device(bytes: Uint8Array): string {
    const file = path.join(folder, `vmclock${(files += 1)}`);
    writeFileSync(file, bytes);
    return file;
  }

  it('is the eight bytes the hypervisor shows', () => {
    const generation = 0x0102030405060708n;
    for (const bytes of [page(generation), page(generation, { lengthBytes: 112 })]) {
      const found = vmGeneration(device(bytes));
      if (!found.supported) throw new Error(found.reason);
      expect(Buffer.from(found.value).readBigUInt64LE()).toBe(generation);
    }
  });

  it.each([
    ['is no VM clock', page(1n, { magic: 0x4b4c4357 }), 'cannot be used: it is no VM clock'],
    ['is empty', Buffer.alloc(0), 'cannot be used: it cannot be read, or is too short'],
    [
      'is a byte too short',
      page(1n, { lengthBytes: 111 }),
      'cannot be used: it cannot be read, or is too short',
    ],
    [
      'is always being written',
      page(1n, { sequence: 5 }),
      'cannot be used: it was being written at every try',
    ],
    ['has no generation', page(1n, { flags: ~(1n << 8n) & 0xffffn }), 'has no VM generation'],
  ])('says so when the device %s', (_what, bytes, reason) => {
    const file = device(bytes);
    expect(vmGeneration(file)).toEqual({ supported: false, reason: `${file} ${reason}` });
  });

  it('says so when there is no device, a folder, or a pipe without a writer', () => {
    const missing = path.join(folder, 'missing');
    expect(vmGeneration(missing)).toEqual({ supported: false, reason: `the hypervisor gives no ${missing}` });
    const pipe = path.join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const file of [folder, pipe]) {
      expect(vmGeneration(file)).toEqual({
        supported: false,
        reason: `${file} cannot be used: it cannot be read, or is too short`,
      });
    }
    const deep = path.join(device(page(1n)), 'below');
    expect(vmGeneration(deep)).toEqual({
      supported: false,
      reason: `${deep} cannot be opened: Not a directory`,
    });
  });

  it.runIf(!existsSync('/dev/vmclock0'))('looks at /dev/vmclock0 unless told', () => {
    expect(vmGeneration()).toEqual({ supported: false, reason: 'the hypervisor gives no /dev/vmclock0' });
  });

  it.each([
    ['once', 1, 8n],
    ['at 999 reads', 999, 1006n],
  ])('reads again when the hypervisor changed the page meanwhile: %s', (_what, updates, generation) => {
    const script = `
      arm('pread:${updates}');
      tell(native.vmGeneration(${JSON.stringify(device(page(7n)))}));
      tell(String(Buffer.from(native.scratch).readBigUInt64LE()));
    `;
    expect(inChild(script, { faults })).toEqual([true, String(generation)]);
  });

  it('gives up after 1000 reads of a page that changes every time', () => {
    const file = device(page(7n));
    const script = `arm('pread:1000'); tell(native.vmGeneration(${JSON.stringify(file)}));`;
    expect(inChild(script, { faults })).toEqual([
      `${file} cannot be used: it was being written at every try`,
    ]);
  });

  it('leaves no file open', () => {
    const [good, bad] = [device(page(1n)), device(page(1n, { sequence: 1 }))];
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    for (let i = 0; i < 50; i += 1) {
      vmGeneration(good);
      vmGeneration(bad);
    }
    expect(open()).toBeLessThan(before + 25);
  });

  it('refuses what is no path', () => {
    for (const bad of ['', 'x'.repeat(256), '/dev/vm\0clock'])
      expect(() => vmGeneration(bad)).toThrow(RangeError);
    expect(misuse(vmGeneration, 7)).toThrow(TypeError);
  });
});
