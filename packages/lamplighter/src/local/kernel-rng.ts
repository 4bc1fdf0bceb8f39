import { constants } from 'node:fs';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from './environment.js';
import type { NativeDoors } from './native-doors.js';

/** Linux takes no more in one RNDADDENTROPY. */
const MAX_BYTES = 512;
/** Linux: /dev/random is device 1:8 and /dev/urandom 1:9, as `st_rdev` holds them. A write to either does the same. */
const KERNEL_RNG_DEVICES: readonly number[] = [0x0108, 0x0109];

/** What was really done to the kernel's RNG, and never more than that (DESIGN section 9). */
export interface KernelReport {
  readonly device: string;
  readonly bytesWritten: number;
  /** How they were handed over: by ioctl, which needs CAP_SYS_ADMIN, or by write(2), which anybody may. */
  readonly call: 'RNDADDENTROPY' | 'write';
  /** What the kernel was told to count them for; write(2) credits nothing. */
  readonly creditedBits: number;
  /** Whether the kernel was told to use them now. If not they count from its next reseed on, up to a minute later. */
  readonly reseeded: boolean;
  /** Why it was the lesser call, or why nothing was reseeded. */
  readonly because?: string;
}

/** How bytes are handed to the kernel. */
export interface KernelOptions {
  /** `/dev/random` or `/dev/urandom`; not a link, a file, a pipe or any other device. */
  readonly device: string;
  /** Bits the kernel is told to count, 0 to 8 a byte. More than 0 wakes whoever waits for a kernel that is not ready. */
  readonly creditBits: number;
}

/**
 * Hands bytes to the kernel's RNG and makes it use them: RNDADDENTROPY, then RNDRESEEDCRNG; where that is not allowed, write(2).
 *
 * Source: DESIGN section 9. RNDRESEEDCRNG says ENODATA until the kernel's RNG is ready.
 * @param bytes - 1..512; the caller keeps and wipes them
 * @returns what was done
 * @throws LamplighterError ERR_KERNEL_WRITE when the device is another thing than the kernel's RNG (nothing was done), or when
 *   writing failed (the message says after how many bytes)
 * @throws RangeError on another length, or a credit of more than 8 bits a byte
 */
export async function handToKernel(
  { device, creditBits }: KernelOptions,
  bytes: Uint8Array,
  {
    environment,
    native,
  }: { environment: Environment; native: Pick<NativeDoors, 'addEntropy' | 'reseedKernel'> },
): Promise<KernelReport> {
  if (bytes.length < 1 || bytes.length > MAX_BYTES)
    throw new RangeError(`1 to ${MAX_BYTES} bytes are handed over`);
  if (!Number.isInteger(creditBits) || creditBits < 0 || creditBits > 8 * bytes.length) {
    throw new RangeError('a credit is a whole number of bits, at most 8 a byte');
  }
  const handle = await openKernelRng(environment, device);
  try {
    const added = native.addEntropy(bytes, creditBits);
    if (!added.supported) {
      const bytesWritten = await writeAll(handle, device, bytes);
      return {
        device,
        bytesWritten,
        call: 'write',
        creditedBits: 0,
        reseeded: false,
        because: added.reason,
      };
    }
    const reseeded = native.reseedKernel();
    return {
      device,
      bytesWritten: bytes.length,
      call: 'RNDADDENTROPY',
      creditedBits: creditBits,
      reseeded: reseeded.supported,
      ...(!reseeded.supported && { because: reseeded.reason }),
    };
  } finally {
    await handle.close();
  }
}

/** The same for a person to read: mixed in, credited, in effect. */
export function inWords({ bytesWritten, device, creditedBits, reseeded, because }: KernelReport): string {
  const effect = reseeded ? 'in effect now' : "in effect at the kernel's next reseed, up to a minute later";
  const why = because === undefined ? '' : ` (${because})`;
  return `${bytesWritten} bytes written to ${device}: mixed in, ${creditedBits} bits credited, ${effect}${why}`;
}

type Handle = Awaited<ReturnType<Environment['fs']['open']>>;

async function openKernelRng(environment: Environment, device: string): Promise<Handle> {
  // O_NONBLOCK keeps a FIFO without a reader from holding a libuv thread, O_NOFOLLOW a link from naming another file.
  const flags = constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
  const handle = await environment.fs
    .open(device, flags)
    .catch((cause: unknown) => refuse(`${device} cannot be opened for writing`, cause));
  try {
    refuseUnlessKernelRng(device, await handle.stat());
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Never waits for POLLOUT, which on Linux ≥ 5.18 does not come once the kernel's RNG is full. */
async function writeAll(handle: Handle, device: string, bytes: Uint8Array): Promise<number> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await handle
      .write(bytes, written, bytes.length - written, null)
      .catch((cause: unknown) =>
        refuse(`writing to ${device} failed after ${written} of ${bytes.length} bytes`, cause),
      );
    if (bytesWritten === 0) refuse(`${device} took only ${written} of ${bytes.length} bytes`);
    written += bytesWritten;
  }
  return written;
}

function refuseUnlessKernelRng(device: string, stat: { isCharacterDevice(): boolean; rdev: number }): void {
  if (!stat.isCharacterDevice()) refuse(`${device} is not a character device`);
  if (process.platform !== 'linux') return;
  // A write to /dev/null would succeed too, and be reported as a kernel that was given entropy.
  if (!KERNEL_RNG_DEVICES.includes(stat.rdev))
    refuse(`${device} is not the kernel's random number generator`);
}

function refuse(message: string, cause?: unknown): never {
  throw new LamplighterError('ERR_KERNEL_WRITE', message, { hint: 'use /dev/random', cause });
}
