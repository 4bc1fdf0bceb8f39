import { assertBytes, assertLength, wipe } from '../bytes.js';
import { LamplighterError } from '../errors.js';
import { HASH_LENGTH_BYTES, type HashName, hmac } from '../hmac.js';

// Specification constants: SP 800-90A rev. 1, section 10.1, table 2, for SHA-256 and SHA-512.

/** highest_supported_security_strength is 256 bits for both hashes; it is the only strength offered. */
const MIN_ENTROPY_BYTES = 32;
/** Half the security strength: section 8.6.7. */
const MIN_NONCE_BYTES = 16;
/** max_number_of_bits_per_request = 2^19. */
const MAX_REQUEST_BYTES = 2 ** 19 / 8;
/** reseed_interval = 2^48 requests. */
const MAX_RESEED_INTERVAL = 2 ** 48;

const EMPTY = new Uint8Array(0);

/** What an {@link HmacDrbg} is made from. All bytes are copied; the caller keeps and wipes them. */
export interface HmacDrbgOptions {
  readonly hash: HashName;
  /** entropy_input: at least 32 bytes, of full entropy. */
  readonly entropy: Uint8Array;
  /** nonce: at least 16 bytes; never the same with the same entropy. */
  readonly nonce: Uint8Array;
  /** personalization_string: any length. */
  readonly personalization?: Uint8Array | undefined;
  /** Requests between reseeds, 1..2^48. The standard's maximum unless said. */
  readonly reseedInterval?: number | undefined;
}

/**
 * HMAC_DRBG. Source: NIST SP 800-90A rev. 1, section 10.1.2; letters and step numbers are the standard's.
 *
 * Security strength 256 bits. Prediction resistance is the caller's: `reseed` before `generate`. Deviations: inputs longer
 * than the standard's 2^35 bits are not refused; `generate` takes 0 bytes as well.
 */
export class HmacDrbg {
  readonly #hash: HashName;
  readonly #reseedInterval: number;
  /** Key and V; undefined once destroyed. */
  #state: DrbgState | undefined;
  #reseedCounter = 1;

  private constructor(hash: HashName, reseedInterval: number) {
    const outlen = HASH_LENGTH_BYTES[hash];
    this.#hash = hash;
    this.#reseedInterval = reseedInterval;
    // 2. Key = 0x00 00…00. 3. V = 0x01 01…01.
    this.#state = { Key: new Uint8Array(outlen), V: new Uint8Array(outlen).fill(1) };
  }

  /**
   * HMAC_DRBG_Instantiate_algorithm, section 10.1.2.3.
   * @throws RangeError if an input is too short or the interval out of range; TypeError if not given bytes
   */
  static instantiate(options: HmacDrbgOptions): HmacDrbg {
    const { hash, entropy, nonce, personalization = EMPTY, reseedInterval = MAX_RESEED_INTERVAL } = options;
    assertInput('the entropy input', entropy, MIN_ENTROPY_BYTES);
    assertInput('the nonce', nonce, MIN_NONCE_BYTES);
    assertInput('the personalization string', personalization, 0);
    assertLength('the reseed interval', reseedInterval, 1, MAX_RESEED_INTERVAL);

    const drbg = new HmacDrbg(hash, reseedInterval);
    // 1. seed_material = entropy_input || nonce || personalization_string.
    // 4. (Key, V) = HMAC_DRBG_Update (seed_material, Key, V).
    drbg.#update(entropy, nonce, personalization);
    // 5. reseed_counter = 1: set above.
    return drbg;
  }

  /**
   * HMAC_DRBG_Reseed_algorithm, section 10.1.2.4.
   * @param input - `entropy`: at least 32 bytes; `additionalInput`: any length
   * @throws RangeError if the entropy is too short; TypeError if destroyed or not given bytes; state unchanged
   */
  reseed(input: { entropy: Uint8Array; additionalInput?: Uint8Array | undefined }): void {
    this.#alive();
    const { entropy, additionalInput = EMPTY } = input;
    assertInput('the entropy input', entropy, MIN_ENTROPY_BYTES);
    assertInput('the additional input', additionalInput, 0);
    // 1. seed_material = entropy_input || additional_input. 2. (Key, V) = HMAC_DRBG_Update (seed_material, Key, V).
    this.#update(entropy, additionalInput);
    // 3. reseed_counter = 1.
    this.#reseedCounter = 1;
  }

  /**
   * HMAC_DRBG_Generate_algorithm, section 10.1.2.5.
   * @param lengthBytes - 0..65,536 (2^19 bits)
   * @param options - `additionalInput`: any length; empty means none, as in the standard
   * @returns a new array, not kept here
   * @throws RangeError on another length; TypeError if destroyed or not given bytes; LamplighterError ERR_RESEED_REQUIRED
   *   when the reseed interval is used up; state unchanged
   */
  generate(lengthBytes: number, options: { additionalInput?: Uint8Array | undefined } = {}): Uint8Array {
    const { Key, V } = this.#alive();
    const { additionalInput = EMPTY } = options;
    assertLength('the number of bytes', lengthBytes, 0, MAX_REQUEST_BYTES);
    assertInput('the additional input', additionalInput, 0);
    // 1. If reseed_counter > reseed_interval, then return an indication that a reseed is required.
    if (this.#reseedCounter > this.#reseedInterval) {
      const hint = 'reseed it with fresh entropy';
      throw new LamplighterError('ERR_RESEED_REQUIRED', 'the reseed interval is used up', { hint });
    }
    // 2. If additional_input ≠ Null, then (Key, V) = HMAC_DRBG_Update (additional_input, Key, V).
    if (additionalInput.length > 0) this.#update(additionalInput);
    // 3. temp = Null.
    const temp = new Uint8Array(lengthBytes);
    const outlen = HASH_LENGTH_BYTES[this.#hash];
    // 4. While (len (temp) < requested_number_of_bits) do:
    for (let filled = 0; filled < lengthBytes; filled += outlen) {
      // 4.1 V = HMAC (Key, V).
      replace(V, hmac(this.#hash, Key, V));
      // 4.2 temp = temp || V. 5. returned_bits = leftmost (temp, requested_number_of_bits).
      temp.set(V.subarray(0, lengthBytes - filled), filled);
    }
    // 6. (Key, V) = HMAC_DRBG_Update (additional_input, Key, V).
    this.#update(additionalInput);
    // 7. reseed_counter = reseed_counter + 1.
    this.#reseedCounter += 1;
    return temp;
  }

  /** Wipes Key and V; every later call throws. Idempotent. Source: section 9.4, Uninstantiate. */
  destroy(): void {
    wipe(this.#state?.Key, this.#state?.V);
    this.#state = undefined;
  }

  /** HMAC_DRBG_Update, section 10.1.2.2. */
  #update(...providedData: readonly Uint8Array[]): void {
    const state = this.#alive();
    // 1. K = HMAC (K, V || 0x00 || provided_data). 2. V = HMAC (K, V).
    this.#replaceBoth(state, Uint8Array.of(0x00), providedData);
    // 3. If (provided_data = Null), then return K and V.
    if (providedData.every((data) => data.length === 0)) return;
    // 4. K = HMAC (K, V || 0x01 || provided_data). 5. V = HMAC (K, V).
    this.#replaceBoth(state, Uint8Array.of(0x01), providedData);
  }

  #replaceBoth({ Key, V }: DrbgState, separator: Uint8Array, providedData: readonly Uint8Array[]): void {
    replace(Key, hmac(this.#hash, Key, V, separator, ...providedData));
    replace(V, hmac(this.#hash, Key, V));
  }

  #alive(): DrbgState {
    // Fail closed: an all-zero Key would go on giving bytes that look random.
    if (this.#state === undefined) throw new TypeError('the generator was destroyed');
    return this.#state;
  }
}

/** Key and V, outlen bytes each, replaced in place. */
interface DrbgState {
  readonly Key: Uint8Array;
  readonly V: Uint8Array;
}

function replace(old: Uint8Array, next: Uint8Array): void {
  old.set(next);
  wipe(next);
}

function assertInput(what: string, bytes: unknown, minimumBytes: number): void {
  assertBytes(what, bytes);
  if (bytes.length < minimumBytes) throw new RangeError(`${what} has at least ${minimumBytes} bytes`);
}
