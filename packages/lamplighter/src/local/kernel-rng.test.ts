import { execFileSync } from 'node:child_process';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { able, unable } from './ability.js';
import { type Environment, systemEnvironment } from './environment.js';
import { notingNative } from './fixed-process.fixture.js';
import { handToKernel, inWords } from './kernel-rng.js';
import { systemNative } from './native-doors.js';
import { watchedKernel } from './watched-kernel.fixture.js';

const DEVICE = '/dev/random';
const BYTES = Uint8Array.from({ length: 64 }, (_, index) => index);
/** A user without CAP_SYS_ADMIN. */
const UNPRIVILEGED = { ...notingNative(), addEntropy: () => unable('not permitted') };

const writeToKernel = (environment: Environment, device: string, bytes: Uint8Array) =>
  handToKernel({ device, creditBits: 0 }, bytes, { environment, native: UNPRIVILEGED });

let directory: string;
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), 'lamplighter-kernel-'));
});
afterEach(() => fs.rm(directory, { recursive: true }));

describe('without CAP_SYS_ADMIN, by write(2)', () => {
  it.each([DEVICE, '/dev/urandom'])(
    'writes all to the real %s, and claims no more than that',
    async (device) => {
      const { environment, writes } = watchedKernel();
      await expect(writeToKernel(environment, device, BYTES)).resolves.toEqual({
        device,
        bytesWritten: 64,
        call: 'write',
        creditedBits: 0,
        reseeded: false,
        because: 'not permitted',
      });
      expect(Buffer.concat(writes)).toEqual(Buffer.from(BYTES));
    },
  );

  it('goes on after short writes until all is written', async () => {
    const { environment, writes } = watchedKernel({ mostBytes: 7 });
    await expect(writeToKernel(environment, DEVICE, BYTES)).resolves.toMatchObject({ bytesWritten: 64 });
    expect(writes).toHaveLength(10);
    expect(Buffer.concat(writes)).toEqual(Buffer.from(BYTES));
  });

  it('says how far it came when a write fails or takes nothing', async () => {
    const failing = watchedKernel({ mostBytes: 16, failAfterBytes: 32 });
    await expect(writeToKernel(failing.environment, DEVICE, BYTES)).rejects.toMatchObject({
      code: 'ERR_KERNEL_WRITE',
      message: `writing to ${DEVICE} failed after 32 of 64 bytes`,
    });
    const taking = watchedKernel({ mostBytes: 0 });
    await expect(writeToKernel(taking.environment, DEVICE, BYTES)).rejects.toMatchObject({
      code: 'ERR_KERNEL_WRITE',
    });
  });

  it('refuses a regular file and leaves it as it was', async () => {
    const file = join(directory, 'random');
    await fs.writeFile(file, 'unchanged');
    await expect(writeToKernel(systemEnvironment(), file, BYTES)).rejects.toMatchObject({
      code: 'ERR_KERNEL_WRITE',
      message: `${file} is not a character device`,
    });
    await expect(fs.readFile(file, 'latin1')).resolves.toBe('unchanged');
  });

  it('creates nothing', async () => {
    const file = join(directory, 'absent');
    await expect(writeToKernel(systemEnvironment(), file, BYTES)).rejects.toMatchObject({
      code: 'ERR_KERNEL_WRITE',
    });
    await expect(fs.readdir(directory)).resolves.toEqual([]);
  });

  it('refuses a link, even to the device itself', async () => {
    const link = join(directory, 'link');
    await fs.symlink(DEVICE, link);
    await expect(writeToKernel(systemEnvironment(), link, BYTES)).rejects.toMatchObject({
      code: 'ERR_KERNEL_WRITE',
    });
  });

  it('refuses a pipe nobody reads, at once, and a directory', async () => {
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const path of [pipe, directory]) {
      await expect(writeToKernel(systemEnvironment(), path, BYTES)).rejects.toMatchObject({
        code: 'ERR_KERNEL_WRITE',
      });
    }
  });

  it('refuses another character device, which would take bytes and do nothing with them', async () => {
    await expect(writeToKernel(systemEnvironment(), '/dev/null', BYTES)).rejects.toMatchObject({
      code: 'ERR_KERNEL_WRITE',
      message: "/dev/null is not the kernel's random number generator",
    });
  });

  it('refuses to write nothing', async () => {
    await expect(writeToKernel(systemEnvironment(), DEVICE, new Uint8Array(0))).rejects.toThrow(RangeError);
  });
});

describe('with CAP_SYS_ADMIN', () => {
  it.each([0, 256])('adds with a credit of %i bits, then makes the kernel use it', async (creditBits) => {
    const notes: { call: string; bytes: string }[] = [];
    const { environment, writes } = watchedKernel();
    const native = notingNative(notes);
    const report = await handToKernel({ device: DEVICE, creditBits }, BYTES, { environment, native });
    expect(report).toEqual({
      device: DEVICE,
      bytesWritten: 64,
      call: 'RNDADDENTROPY',
      creditedBits: creditBits,
      reseeded: true,
    });
    expect(notes).toEqual([
      { call: `addEntropy(${creditBits})`, bytes: Buffer.from(BYTES).toString('hex') },
      { call: 'reseedKernel', bytes: '' },
    ]);
    expect(writes).toEqual([]);
    expect(inWords(report)).toBe(
      `64 bytes written to ${DEVICE}: mixed in, ${creditBits} bits credited, in effect now`,
    );
  });

  it('says so when the kernel would not reseed yet', async () => {
    const native = { addEntropy: () => able(true), reseedKernel: () => unable('the kernel is not ready') };
    const options = { environment: systemEnvironment(), native };
    const report = await handToKernel({ device: DEVICE, creditBits: 0 }, BYTES, options);
    expect(report).toMatchObject({ reseeded: false, because: 'the kernel is not ready' });
    expect(inWords(report)).toContain("at the kernel's next reseed");
  });

  it('says of the real kernel what the real addon could do', async () => {
    const report = await handToKernel({ device: DEVICE, creditBits: 0 }, BYTES, {
      environment: systemEnvironment(),
      native: systemNative,
    });
    const may = systemNative.addEntropy(BYTES, 0).supported;
    expect(report.call).toBe(may ? 'RNDADDENTROPY' : 'write');
    expect(report.reseeded).toBe(may && systemNative.reseedKernel().supported);
  });

  it.each([-1, 0.5, 513])('refuses a credit of %d bits for 64 bytes', async (creditBits) => {
    const native = notingNative();
    await expect(
      handToKernel({ device: DEVICE, creditBits }, BYTES, { environment: systemEnvironment(), native }),
    ).rejects.toThrow(RangeError);
  });
});
