/**
 * Random bytes, numbers and UUIDs as node:crypto and Web Crypto give them, from a generator of this process's own that is
 * unpredictable if any one of its sources is.
 *
 * Loads nothing but Node itself and Lamplighter's own `local/`, core and addon. Seeded synchronously at first use.
 */
import { Lamplighter } from './local/lamplighter.js';

export { LamplighterError } from '@lamplighter/core';
export { Lamplighter, type LamplighterOptions, type LamplighterStatus } from './local/lamplighter.js';
export type { LibrarySource, OwnSourceStatus } from './local/own-sources.js';
export type { RandomFunctions } from './local/random-functions.js';
export type { CloneSign } from './local/clone-detector.js';
export type { ResumeReport, ResumeSteps } from './local/resume.js';

/** The instance behind the functions below: one a thread. */
export const lamplighter = Lamplighter.create();

export const { randomBytes, randomFill, randomFillSync, randomInt, randomUUID, getRandomValues } =
  lamplighter;

/** See {@link Lamplighter.resume}. */
export const resume: Lamplighter['resume'] = () => lamplighter.resume();

/** See {@link Lamplighter.status}. */
export const status: Lamplighter['status'] = () => lamplighter.status();
