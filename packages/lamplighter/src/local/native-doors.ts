import * as native from '@lamplighter/native';
import type { Ability } from './ability.js';

/** What of `@lamplighter/native` changes something outside this library. One door, so that a test can stand behind it. */
export interface NativeDoors {
  /** Whether the addon is here at all. */
  available(): Ability<unknown>;
  /** Mixes bytes into this process's OpenSSL, on every thread. */
  reseedOpenssl(bytes: Uint8Array): Ability<unknown>;
  /** RNDADDENTROPY. */
  addEntropy(bytes: Uint8Array, creditBits: number): Ability<unknown>;
  /** RNDRESEEDCRNG. */
  reseedKernel(): Ability<unknown>;
  /** No core dump of this process, and no debugger of another user's: prctl and setrlimit. */
  disableCoreDumps(): Ability<unknown>;
  /** flock(2) of an open file, without waiting. */
  lockFile(fd: number, options: { readonly exclusive: boolean }): Ability<{ locked: boolean }>;
}

/** The real ones; without the addon each answers why not. */
export const systemNative: NativeDoors = {
  available: native.nativeAddon,
  reseedOpenssl: native.reseedOpenssl,
  addEntropy: native.addEntropy,
  reseedKernel: native.reseedKernel,
  disableCoreDumps: native.disableCoreDumps,
  lockFile: native.lockFile,
};
