import { type Ability, unable } from './ability.js';
import { DONE, addon } from './addon.js';

/**
 * Mixes bytes into the OpenSSL of this process, together with fresh ones that OpenSSL takes from the OS: its next output, on
 * every thread, depends on both. That is randomBytes, key generation and TLS. Values made earlier stay as they are: Node
 * caches 128 UUIDs and 1024 integers, and TLS ticket keys live on. Other processes and Math.random are not reached.
 *
 * Source: DESIGN 7; EVP_RAND_reseed on the primary generator (OpenSSL 3), whose status is looked at. About 2 µs.
 * @param bytes - 1..65,536, additional input; need not be secret; the caller keeps and wipes them
 * @returns unsupported with a reason, and OpenSSL is as it was, when there is no OpenSSL 3 or the OS RNG fails: OpenSSL would
 *   lose the input and later spin for ever, so it is not asked
 * @throws TypeError, RangeError on another argument; OpenSSL is as it was
 */
export function reseedOpenssl(bytes: Uint8Array): Ability<void> {
  const found = addon();
  if (!found.supported) return found;
  const answer = found.value.reseedOpenssl(bytes);
  return answer === true ? DONE : unable(answer);
}
