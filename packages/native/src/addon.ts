import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type Ability, able, unable } from './ability.js';
import { type Libc, ownLibc } from './libc.js';

/** Raised together with ADDON_VERSION in addon.h: an addon left over from another build is not called. */
const VERSION = 2;

/** A string is a reason: not on this machine, or not now. */
export type Answer<T> = T | string;

/**
 * The addon as C exports it. Every function throws TypeError or RangeError for arguments it cannot take. Answers of a few
 * bytes are left in `scratch`, memory that C and JavaScript share for the life of this thread.
 */
export interface Addon {
  readonly version: number;
  readonly scratch: Uint8Array<ArrayBuffer>;
  /** The counter stands in bytes 0..7. */
  readCycles(): Answer<undefined>;
  rdseed(lengthBytes: number): Answer<true>;
  rdrand(lengthBytes: number): Answer<true>;
  cpuRandom(lengthBytes: number): Answer<true>;
  kernelRandom(lengthBytes: number): Answer<true>;
  addEntropy(bytes: Uint8Array, creditBits: number): Answer<true>;
  reseedKernel(): Answer<true>;
  /** The count stands in bytes 0..3. */
  entropyCount(): Answer<true>;
  reseedOpenssl(bytes: Uint8Array): Answer<true>;
  peerCredentials(fd: number): Answer<{ readonly pid: number; readonly uid: number; readonly gid: number }>;
  lockFile(fd: number, exclusive: boolean): Answer<boolean>;
  disableCoreDumps(): Answer<true>;
  /** The generation stands in bytes 0..7. */
  vmGeneration(device: string): Answer<true>;
  aes256Ctr(key: Uint8Array, counter: Uint8Array, isBigEndian: boolean, out: Uint8Array): Answer<undefined>;
  hmac(isSha512: boolean, key: Uint8Array, text: Uint8Array, mac: Uint8Array): Answer<undefined>;
}

let loaded: Ability<Addon> | undefined;
let loadedFrom = '';

/** The addon, loaded at the first call and not at import; why it cannot be used, if so. Never throws. */
export function addon(): Ability<Addon> {
  return (loaded ??= load());
}

/**
 * Whether the native addon is here.
 * @returns the file it was loaded from; or why everything in this package answers "unsupported": not built for this machine,
 *   refused by the loader, or switched off by LAMPLIGHTER_NATIVE=off in the environment
 */
export function nativeAddon(): Ability<string> {
  const found = addon();
  return found.supported ? able(loadedFrom) : found;
}

/**
 * For which machines an addon is the same: it is part of its file's name.
 * @param platform - as process.platform has it
 * @param arch - as process.arch has it
 * @param libc - the C library of the process; read on Linux only
 */
export function addonTarget(platform: string, arch: string, libc: Libc | undefined): Ability<string> {
  if (platform === 'linux' && libc === undefined) {
    return unable('the native addon cannot be chosen: this program names neither glibc’s loader nor musl’s');
  }
  return able(`${platform}-${arch}${platform === 'linux' && libc === 'musl' ? '-musl' : ''}`);
}

function load(): Ability<Addon> {
  if (process.env['LAMPLIGHTER_NATIVE'] === 'off') return unable('switched off by LAMPLIGHTER_NATIVE=off');
  const target = addonTarget(
    process.platform,
    process.arch,
    process.platform === 'linux' ? ownLibc() : undefined,
  );
  if (!target.supported) return target;
  // src/ and dist/ stand side by side, so this is right from both.
  const file = fileURLToPath(new URL(`../dist/lamplighter-${target.value}.node`, import.meta.url));
  if (!existsSync(file)) return unable(`the native addon is not built for ${target.value}`);
  try {
    const module: unknown = createRequire(import.meta.url)(file);
    if (!isAddon(module)) return unable('the native addon was built from another version');
    loadedFrom = file;
    return able(module);
  } catch (error) {
    const [line = ''] = String(error instanceof Error ? error.message : error).split('\n');
    return unable(`the native addon cannot be loaded: ${line}`);
  }
}

/** The version vouches for names and types: both sides of it are in this folder. */
function isAddon(module: unknown): module is Addon {
  return typeof module === 'object' && module !== null && 'version' in module && module.version === VERSION;
}

/** What a function that gives nothing but success returns. */
export const DONE: Ability<void> = able(undefined);

/** Copies the first bytes of the scratch and wipes them there. */
export function takeScratch({ scratch }: Addon, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  // A loop, because for 32 bytes `slice` and `fill` cost more than RDRAND itself.
  for (let i = 0; i < lengthBytes; i += 1) {
    bytes[i] = scratch[i] ?? 0;
    scratch[i] = 0;
  }
  return bytes;
}
