import { type Ability, unable } from './ability.js';
import { DONE, addon } from './addon.js';

/**
 * Keeps this process's memory out of core files and debuggers: RLIMIT_CORE 0, hard limit included, and PR_SET_DUMPABLE 0.
 *
 * For good: neither can be raised again without privilege. Children inherit the limit. Without root, most of /proc/self
 * becomes unreadable to this process itself, and profilers and debuggers can no longer attach.
 * @returns unsupported with a reason when one of the two was refused; the limit may be set then
 */
export function disableCoreDumps(): Ability<void> {
  const found = addon();
  if (!found.supported) return found;
  const answer = found.value.disableCoreDumps();
  return answer === true ? DONE : unable(answer);
}
