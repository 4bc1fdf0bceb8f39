import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { compileFaults, inChild, needsAddon, temporaryFolder, misuse } from './addon.fixture.js';
import { addEntropy, entropyCount, getrandom, reseedKernel } from './kernel.js';

const CAP_SYS_ADMIN = 21n;
const mask = BigInt(
  `0x${/^CapEff:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'}`,
);
const isAdmin = (mask & (1n << CAP_SYS_ADMIN)) !== 0n;
const DONE = { supported: true, value: undefined };
const refused = (name: string): object => ({
  supported: false,
  reason: `${name} is not permitted: it needs CAP_SYS_ADMIN`,
});

needsAddon('the kernel’s RNG', () => {
  const faults = compileFaults(temporaryFolder());

  it('gives bytes, others every time, in any length up to 1 MiB', () => {
    for (const lengthBytes of [1, 32, 4095, 4096, 4097, 10_000, 1_048_576]) {
      const [first, second] = [getrandom(lengthBytes), getrandom(lengthBytes)];
      if (!first.supported || !second.supported) throw new Error('no getrandom');
      expect(first.value.length).toBe(lengthBytes);
      if (lengthBytes < 32) continue;
      expect(Buffer.compare(first.value, second.value)).not.toBe(0);
      // The seams: had a chunk been forgotten, zeros would be left there.
      expect(Buffer.from(first.value).includes(Buffer.alloc(16))).toBe(false);
    }
  });

  it('refuses other lengths', () => {
    for (const lengthBytes of [0, -1, 1.5, NaN, 1_048_577]) {
      expect(() => getrandom(lengthBytes)).toThrow(RangeError);
    }
  });

  it.each([
    ['getrandom:11', "the kernel's random number generator is not ready"],
    ['getrandom:38', 'getrandom failed: Function not implemented'],
    ['getrandom:0', 'getrandom failed: Input/output error'],
  ])('says why it gives nothing (%s)', (fault, reason) => {
    const script = `
      arm(${JSON.stringify(fault)});
      native.scratch.fill(1);
      tell(native.kernelRandom(32), native.scratch.slice(0, 33).reduce((sum, byte) => sum + byte));
    `;
    expect(inChild(script, { faults })).toEqual([reason, 1]);
  });

  it.each(['getrandom:4', 'getrandom:-7'])(
    'asks until it has all, interrupted or given little (%s)',
    (fault) => {
      const script = `
      arm(${JSON.stringify(fault)});
      tell(native.kernelRandom(4096), Buffer.from(native.scratch).includes(Buffer.alloc(8)));
    `;
      expect(inChild(script, { faults })).toEqual([true, false]);
    },
  );

  it('takes entropy and reseeds; or says which capability is missing', () => {
    const bytes = new Uint8Array(512).fill(1);
    for (const lengthBytes of [1, 64, 512]) {
      const added = addEntropy(bytes.subarray(0, lengthBytes), 0);
      expect(added).toEqual(isAdmin ? DONE : refused('RNDADDENTROPY'));
    }
    expect(reseedKernel()).toEqual(isAdmin ? DONE : refused('RNDRESEEDCRNG'));
    expect(bytes, 'the caller’s bytes are left alone').toEqual(new Uint8Array(512).fill(1));
  });

  it('hands over exactly length, credit and bytes', () => {
    const script = `arm('ioctl:0'); tell(native.addEntropy(Uint8Array.of(1, 2, 255), 24));`;
    expect(inChild(script, { faults })).toEqual(['24 bits, 3 bytes: 0102ff', true]);
  });

  it('says how much the kernel believes to hold', () => {
    const count = entropyCount();
    if (!count.supported) throw new Error(count.reason);
    expect(count.value).toBeGreaterThanOrEqual(0);
    expect(count.value).toBeLessThanOrEqual(4096);
  });

  it('refuses other arguments', () => {
    expect(() => addEntropy(new Uint8Array(0), 0)).toThrow(RangeError);
    expect(() => addEntropy(new Uint8Array(513), 0)).toThrow(RangeError);
    expect(() => addEntropy(new Uint8Array(4), 33)).toThrow(RangeError);
    expect(() => addEntropy(new Uint8Array(4), -1)).toThrow(RangeError);
    expect(() => addEntropy(new Uint8Array(4), 0.5)).toThrow(RangeError);
    expect(misuse(addEntropy, new Uint16Array(4), 0)).toThrow(TypeError);
    expect(misuse(addEntropy, new Uint8Array(4))).toThrow(TypeError);
  });

  it.runIf(process.getuid?.() === 0)(
    'needs CAP_SYS_ADMIN, and says so once the process has given it up',
    () => {
      const script = `
      process.setuid(65534);
      tell(native.addEntropy(Buffer.alloc(8), 0), native.reseedKernel(), native.entropyCount());
    `;
      expect(inChild(script)).toEqual([
        'RNDADDENTROPY is not permitted: it needs CAP_SYS_ADMIN',
        'RNDRESEEDCRNG is not permitted: it needs CAP_SYS_ADMIN',
        true,
      ]);
    },
  );

  it.each([
    ['ioctl:1', 'RNDRESEEDCRNG is not permitted: it needs CAP_SYS_ADMIN'],
    ['ioctl:61', "RNDRESEEDCRNG: the kernel's random number generator is not ready"],
    ['ioctl:22', 'RNDRESEEDCRNG: this kernel does not have it'],
    ['ioctl:25', 'RNDRESEEDCRNG: this kernel does not have it'],
    ['ioctl:5', 'RNDRESEEDCRNG failed: Input/output error'],
    ['open:13', '/dev/random cannot be used: Permission denied'],
    ['open:0', "/dev/random cannot be used: it is not the kernel's random number generator"],
  ])('names each way to fail (%s)', (fault, reason) => {
    expect(inChild(`arm(${JSON.stringify(fault)}); tell(native.reseedKernel());`, { faults })).toEqual([
      reason,
    ]);
  });

  it('leaves no file open', () => {
    const script = `
      const { readdirSync } = require('node:fs');
      const before = readdirSync('/proc/self/fd').length;
      for (let i = 0; i < 50; i++) native.entropyCount();
      arm('ioctl:5');
      for (let i = 0; i < 50; i++) native.reseedKernel();
      arm('open:0');
      for (let i = 0; i < 50; i++) native.reseedKernel();
      tell(readdirSync('/proc/self/fd').length - before);
    `;
    expect(inChild(script, { faults })).toEqual([0]);
  });
});
