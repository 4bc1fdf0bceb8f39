import { type Ability, able, unable } from './ability.js';
import { type Answer, DONE, addon } from './addon.js';

/** What one getrandom fills: the scratch. */
const CHUNK_LENGTH_BYTES = 4096;
const LARGEST_READ_BYTES = 1_048_576;

/**
 * Fresh bytes from the kernel's RNG, without waiting: getrandom(2) with GRND_NONBLOCK.
 * @param lengthBytes - 1..2^20
 * @returns a new array, filled; unsupported with a reason while the kernel's RNG is not ready
 * @throws RangeError on another length
 */
export function getrandom(lengthBytes: number): Ability<Uint8Array> {
  if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > LARGEST_READ_BYTES) {
    throw new RangeError(`getrandom gives 1 to ${LARGEST_READ_BYTES} bytes at a time`);
  }
  const found = addon();
  if (!found.supported) return found;
  const { scratch } = found.value;
  const bytes = new Uint8Array(lengthBytes);
  for (let at = 0; at < lengthBytes; at += CHUNK_LENGTH_BYTES) {
    const chunk = Math.min(CHUNK_LENGTH_BYTES, lengthBytes - at);
    const answer = found.value.kernelRandom(chunk);
    if (answer !== true) {
      bytes.fill(0);
      return unable(answer);
    }
    bytes.set(chunk === CHUNK_LENGTH_BYTES ? scratch : scratch.subarray(0, chunk), at);
    scratch.fill(0, 0, chunk);
  }
  return able(bytes);
}

/**
 * Mixes bytes into the kernel's RNG and credits them: RNDADDENTROPY (random(4)). In effect at the kernel's next reseed;
 * see {@link reseedKernel}.
 * @param bytes - 1..512; the caller keeps and wipes them
 * @param creditBits - 0..8 × length; 0 credits nothing
 * @returns unsupported with a reason without CAP_SYS_ADMIN; nothing was mixed then
 * @throws TypeError, RangeError on other arguments; nothing was mixed
 */
export function addEntropy(bytes: Uint8Array, creditBits: number): Ability<void> {
  const found = addon();
  return found.supported ? told(found.value.addEntropy(bytes, creditBits)) : found;
}

/**
 * Makes the kernel's RNG use what was mixed in, now: RNDRESEEDCRNG.
 * @returns unsupported with a reason without CAP_SYS_ADMIN, before the kernel's RNG is ready, or on kernels before 4.17
 */
export function reseedKernel(): Ability<void> {
  const found = addon();
  return found.supported ? told(found.value.reseedKernel()) : found;
}

/** The bits the kernel says it holds: RNDGETENTCNT. On Linux ≥ 5.18 it is 256 for ever once its RNG is ready. */
export function entropyCount(): Ability<number> {
  const found = addon();
  if (!found.supported) return found;
  const answer = found.value.entropyCount();
  if (answer !== true) return unable(answer);
  return able(new DataView(found.value.scratch.buffer).getInt32(0, true));
}

function told(answer: Answer<true>): Ability<void> {
  return answer === true ? DONE : unable(answer);
}
