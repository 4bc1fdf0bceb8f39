import { type Ability, able, unable } from './ability.js';
import { addon, takeScratch } from './addon.js';

/**
 * The VM generation a hypervisor shows: eight bytes that differ after this VM was cloned or restored from a snapshot.
 *
 * Source: Linux, vmclock-abi.h. Read under its sequence count, so never half of an update; gives up after 1000 tries. About
 * 3 µs: three or four system calls.
 * @param device - the VM clock, a path of at most 255 bytes
 * @returns a new array; unsupported with a reason when there is no such device, or it has no generation
 * @throws TypeError, RangeError on another path
 */
export function vmGeneration(device = '/dev/vmclock0'): Ability<Uint8Array> {
  const found = addon();
  if (!found.supported) return found;
  const answer = found.value.vmGeneration(device);
  return answer === true ? able(takeScratch(found.value, 8)) : unable(answer);
}
