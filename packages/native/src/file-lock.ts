import { type Ability, able, unable } from './ability.js';
import { addon } from './addon.js';

/**
 * Locks an open file, without waiting: flock(2). Held until the file is closed or the process ends, however it ends; also by
 * children that inherit the descriptor. Advisory, and not for network file systems.
 * @param fd - of an open file; lock one that is never renamed
 * @param options - `exclusive`: true keeps everybody else out, false only those who want it exclusive
 * @returns `locked: false` when somebody else holds it; unsupported with a reason when `fd` cannot be locked
 * @throws TypeError, RangeError when `fd` is no whole number ≥ 0
 */
export function lockFile(fd: number, options: { readonly exclusive: boolean }): Ability<{ locked: boolean }> {
  const found = addon();
  if (!found.supported) return found;
  const answer = found.value.lockFile(fd, options.exclusive);
  return typeof answer === 'string' ? unable(answer) : able({ locked: answer });
}
