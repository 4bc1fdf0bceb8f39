import { MIX_LENGTH_BYTES } from '@lamplighter/core';
import { type LaidOut, layOut } from '../local/laid-out.js';
import { macInto } from '../local/mac.js';

const CERTIFICATE_LENGTH_BYTES = 32;
const START_LENGTH_BYTES = 32;
const STREAM_LENGTH_BYTES = 64;

/** What makes a beacon that one and no other. */
export interface BeaconParts {
  /** SHA-256 of the caller's certificate, 32 bytes. */
  readonly certificate: Uint8Array;
  /** 0..64 bytes. */
  readonly nonce: Uint8Array;
  /** Start number u64 ‖ instance id ‖ counter u64, 32 bytes. */
  readonly start: Uint8Array;
  /** 64 bytes of the outlet's own stream. */
  readonly stream: Uint8Array;
}

/**
 * mix(key, "beacon", [certificate, nonce, start, stream]), with its encoding laid out once for each length of a nonce.
 *
 * Source: DESIGN section 8. The same as core's `mix`, and a test says so for every length. By itself because a relay does
 * little else: it takes a third of the time.
 */
export class BeaconMix {
  readonly #layouts: (Layout | undefined)[] = [];
  readonly #made = new Uint8Array(MIX_LENGTH_BYTES);

  /**
   * @param key - 64 secret bytes
   * @returns a new array of 64 bytes
   * @throws RangeError when a length is another; nothing was made
   */
  digest(key: Uint8Array, { certificate, nonce, start, stream }: BeaconParts): Uint8Array {
    const isRight =
      key.length === MIX_LENGTH_BYTES &&
      certificate.length === CERTIFICATE_LENGTH_BYTES &&
      start.length === START_LENGTH_BYTES &&
      stream.length === STREAM_LENGTH_BYTES;
    if (!isRight) throw new RangeError('the key or a part of a beacon has another length');
    const { text, certificateAt, nonceAt, startAt, streamAt } = (this.#layouts[nonce.length] ??= layoutFor(
      nonce.length,
    ));
    text.set(certificate, certificateAt);
    text.set(nonce, nonceAt);
    text.set(start, startAt);
    text.set(stream, streamAt);
    try {
      macInto('sha512', key, text, this.#made);
      return this.#made.slice();
    } finally {
      text.fill(0, streamAt, streamAt + STREAM_LENGTH_BYTES);
      this.#made.fill(0);
    }
  }
}

/** E, with the places where its parts stand. */
interface Layout {
  readonly text: LaidOut['text'];
  readonly certificateAt: number;
  readonly nonceAt: number;
  readonly startAt: number;
  readonly streamAt: number;
}

function layoutFor(nonceLengthBytes: number): Layout {
  const { text, at } = layOut('beacon', [
    { label: 'certificate', lengthBytes: CERTIFICATE_LENGTH_BYTES },
    { label: 'nonce', lengthBytes: nonceLengthBytes },
    { label: 'start', lengthBytes: START_LENGTH_BYTES },
    { label: 'stream', lengthBytes: STREAM_LENGTH_BYTES },
  ]);
  return {
    text,
    certificateAt: at('certificate'),
    nonceAt: at('nonce'),
    startAt: at('start'),
    streamAt: at('stream'),
  };
}
