import { createHash } from 'node:crypto';

/** What of a ClientHello comes from a generator of random numbers, as hex. */
export interface ClientHello {
  /** 32 bytes. */
  readonly random: string;
  /** By group: the client's public key. What it was made of is another matter, and never the same for two keys. */
  readonly keyShares: Readonly<Record<string, string>>;
  /** SHA-256 of the whole record, so that what differs beside these is seen too. */
  readonly hash: string;
}

// RFC 8446, 4.1.2, 4.2.8 and 5.1.
const RECORD_HEAD_BYTES = 5;
const HANDSHAKE_HEAD_BYTES = 4;
const RANDOM_BYTES = 32;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const KEY_SHARE = 51;
const GROUPS: Readonly<Record<number, string>> = { 0x001d: 'X25519', 0x11ec: 'X25519MLKEM768' };

/** For tests: whether these can be the first bytes of a TLS connection. */
export const beginsLikeTls = (bytes: Buffer): boolean => bytes[0] === HANDSHAKE_RECORD;

/**
 * For tests: the ClientHello that a connection began with.
 * @param bytes - all that has come so far
 * @returns undefined while its record is not here whole
 * @throws Error when it is something else
 */
export function clientHelloIn(bytes: Buffer): ClientHello | undefined {
  if (bytes.length < RECORD_HEAD_BYTES) return undefined;
  const end = RECORD_HEAD_BYTES + bytes.readUInt16BE(3);
  if (bytes.length < end) return undefined;
  const record = bytes.subarray(0, end);
  if (!beginsLikeTls(record) || record[RECORD_HEAD_BYTES] !== CLIENT_HELLO) {
    throw new Error('the first record is no ClientHello');
  }
  const reader = new Reader(record.subarray(RECORD_HEAD_BYTES + HANDSHAKE_HEAD_BYTES));
  reader.take(2); // legacy_version
  const random = reader.take(RANDOM_BYTES).toString('hex');
  reader.vector(1); // legacy_session_id
  reader.vector(2); // cipher_suites
  reader.vector(1); // legacy_compression_methods
  const keyShares: Record<string, string> = {};
  const extensions = new Reader(reader.vector(2));
  while (extensions.hasMore) {
    const type = extensions.number(2);
    const body = new Reader(extensions.vector(2));
    if (type !== KEY_SHARE) continue;
    const shares = new Reader(body.vector(2));
    while (shares.hasMore) {
      const group = shares.number(2);
      keyShares[GROUPS[group] ?? `group ${group}`] = shares.vector(2).toString('hex');
    }
  }
  return { random, keyShares, hash: createHash('sha256').update(record).digest('hex') };
}

/** Reads the presentation language of RFC 8446, 3. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get hasMore(): boolean {
    return this.#at < this.#bytes.length;
  }

  take(lengthBytes: number): Buffer {
    const end = this.#at + lengthBytes;
    if (end > this.#bytes.length) throw new Error('the ClientHello ends too early');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  number(lengthBytes: number): number {
    return this.take(lengthBytes).readUIntBE(0, lengthBytes);
  }

  /** What stands behind a length of so many bytes. */
  vector(lengthOfLengthBytes: number): Buffer {
    return this.take(this.number(lengthOfLengthBytes));
  }
}
