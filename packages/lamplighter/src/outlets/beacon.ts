import { LamplighterError, wipe } from '@lamplighter/core';
import type { PeerIdentity } from '../identity/roles.js';
import type { Environment } from '../local/environment.js';
import type { Stream } from '../local/stream.js';
import { type Basis, basisToByte, basisToWords } from '../wire/basis.js';
import {
  BASIS_HEADER,
  BEACON_CONTENT_TYPE,
  BEACON_LENGTH_BYTES,
  BEACON_PATH,
  MAX_NONCE_LENGTH_BYTES,
} from '../wire/beacon.js';
import type { Exchange, Listener } from '../wire/listener.js';
import type { OutletReport } from '../wire/status.js';
import { BeaconMix } from './beacon-mix.js';
import type { Outlet, OutletContext } from './outlet.js';
import { basisForAnswer, isServing } from './serving.js';

const KEY_LENGTH_BYTES = 64;
const STREAM_PART_LENGTH_BYTES = 64;
const INSTANCE_ID_LENGTH_BYTES = 16;
const COUNTER_AT = 8 + INSTANCE_ID_LENGTH_BYTES;
const START_PART_LENGTH_BYTES = COUNTER_AT + 8;
/** Longer than a nonce, so that one that is too long is told so by name; far longer ones are only too large. */
const MAX_BODY_BYTES = 1_024;

/** What no two starts of any node share. */
export interface BeaconStart {
  /** Start number, u64, durably raised before anything is served. */
  readonly number: bigint;
  /** 16 random bytes, new at every start. */
  readonly instanceId: Uint8Array;
}

/** One beacon handed over: to whom, when, and which. Not a byte of it, and no hash of one. */
export interface BeaconRecord {
  /** Nanoseconds since 1970, as this machine believes. */
  readonly atNs: bigint;
  /** Who it was, as the verified certificate says. */
  readonly peer: Pick<PeerIdentity, 'role' | 'name' | 'serial'>;
  /** The node's start number and the count of the outlet's beacons since then: together they name one beacon. */
  readonly start: bigint;
  readonly counter: bigint;
  readonly basis: Basis;
}

/**
 * Answers `POST /v1/beacon`: 64 bytes for one caller and one nonce, once.
 *
 *     beacon = mix(beaconKey, "beacon", [certificate, nonce, start number ‖ instance id ‖ counter, 64 stream bytes])
 *
 * Source: DESIGN section 8. The key is 64 bytes of a second stream, replaced whenever the root was reseeded; never stored.
 * @param options - `listener`: where the route goes; `start`: see {@link BeaconStart}; `audit`: told of every beacon
 * @throws RangeError when the start number is not a u64 or the instance id not 16 bytes
 */
export function beaconOutlet(options: {
  readonly name: string;
  readonly listener: Listener;
  readonly environment: Environment;
  readonly start: BeaconStart;
  readonly audit?: ((record: BeaconRecord) => void) | undefined;
}): Outlet {
  return new BeaconOutlet(options);
}

class BeaconOutlet implements Outlet {
  readonly name: string;
  readonly kind = 'beacon';
  readonly #listener: Listener;
  readonly #environment: Environment;
  /** start number u64 ‖ instance id ‖ counter u64: one buffer, its last field counted up in place. */
  readonly #start = new Uint8Array(START_PART_LENGTH_BYTES);
  readonly #startView = new DataView(this.#start.buffer);
  #counter = 0n;
  readonly #mix = new BeaconMix();
  readonly #fresh = new Uint8Array(STREAM_PART_LENGTH_BYTES);
  readonly #audit: ((record: BeaconRecord) => void) | undefined;
  #maker: Maker | undefined;
  #key: Uint8Array | undefined;
  #keyGeneration = Number.NaN;
  #headers: Readonly<Record<string, string>> | undefined;
  #headersByte = 0;
  #route: { remove(): void } | undefined;
  readonly #stopped = new AbortController();
  #beacons = 0;
  #refused = 0;

  constructor({ name, listener, environment, start, audit }: Parameters<typeof beaconOutlet>[0]) {
    if (BigInt.asUintN(64, start.number) !== start.number)
      throw new RangeError('the start number is not a u64');
    if (start.instanceId.length !== INSTANCE_ID_LENGTH_BYTES) {
      throw new RangeError(`an instance id is ${INSTANCE_ID_LENGTH_BYTES} bytes`);
    }
    this.name = name;
    this.#listener = listener;
    this.#environment = environment;
    this.#audit = audit;
    this.#startView.setBigUint64(0, start.number);
    this.#start.set(start.instanceId, 8);
  }

  start(context: OutletContext, signal: AbortSignal): Promise<void> {
    this.#maker = { context, stream: context.stream('beacon'), keyStream: context.stream('beacon-key') };
    this.#route = this.#listener.route({
      method: 'POST',
      path: BEACON_PATH,
      roles: ['relay', 'service', 'machine'],
      maxBodyBytes: MAX_BODY_BYTES,
      // Made and handed over within one turn: nothing of ours is ever in flight, so stopping has nothing to drain.
      handle: (exchange) => {
        this.#answer(exchange);
        return undefined;
      },
    });
    const stopped = this.#stopped.signal;
    signal.addEventListener('abort', () => void this.stop(), { once: true, signal: stopped });
    return signal.aborted ? this.stop() : Promise.resolve();
  }

  status(): OutletReport {
    return {
      state: this.#outletState(),
      bytes: this.#beacons * BEACON_LENGTH_BYTES,
      details: { beacons: this.#beacons, refused: this.#refused },
    };
  }

  stop(): Promise<void> {
    this.#stopped.abort();
    this.#route?.remove();
    this.#maker?.stream.close();
    this.#maker?.keyStream.close();
    wipe(this.#key);
    this.#key = undefined;
    return Promise.resolve();
  }

  #outletState(): OutletReport['state'] {
    if (this.#stopped.signal.aborted) return 'stopped';
    return isServing(this.#maker?.context) ? 'ok' : 'waiting';
  }

  #answer(exchange: Exchange): void {
    this.#environment.arrivals.note();
    try {
      const maker = this.#maker;
      if (maker === undefined || this.#stopped.signal.aborted) {
        throw new LamplighterError('ERR_STOPPED', 'the outlet is stopped');
      }
      const { body: nonce, peer } = exchange;
      if (nonce.length > MAX_NONCE_LENGTH_BYTES) {
        throw new LamplighterError('ERR_NONCE_LENGTH', `a nonce is at most ${MAX_NONCE_LENGTH_BYTES} bytes`);
      }
      const basis = basisForAnswer(maker.context);
      exchange.spend('beacons', 1);
      const headers = this.#headersFor(basis);
      exchange.reply(200, headers, this.#make(maker, peer.fingerprint, nonce));
      this.#beacons += 1;
      this.#audit?.({
        atNs: this.#environment.realtimeNs(),
        peer,
        start: this.#startView.getBigUint64(0),
        counter: this.#counter,
        basis,
      });
    } catch (error) {
      this.#refused += 1;
      throw error;
    }
  }

  #make({ stream, keyStream }: Maker, certificate: Uint8Array, nonce: Uint8Array): Uint8Array {
    // First the stream: reading is what brings it up to the root, and only then is its generation the root's.
    const fresh = this.#fresh;
    stream.readInto(fresh);
    try {
      if (this.#key === undefined || stream.generation !== this.#keyGeneration) {
        const key = keyStream.read(KEY_LENGTH_BYTES);
        wipe(this.#key);
        this.#key = key;
        this.#keyGeneration = keyStream.generation;
      }
      this.#counter += 1n;
      this.#startView.setBigUint64(COUNTER_AT, this.#counter);
      return this.#mix.digest(this.#key, { certificate, nonce, start: this.#start, stream: fresh });
    } finally {
      wipe(fresh);
    }
  }

  /** Made anew only when the basis changes, which is rare, and beacons are many. */
  #headersFor(basis: Basis): Readonly<Record<string, string>> {
    const byte = basisToByte(basis);
    if (this.#headers === undefined || byte !== this.#headersByte) {
      this.#headersByte = byte;
      this.#headers = Object.freeze({
        'content-type': BEACON_CONTENT_TYPE,
        [BASIS_HEADER]: basisToWords(basis).join(', '),
      });
    }
    return this.#headers;
  }
}

interface Maker {
  readonly context: OutletContext;
  readonly stream: Stream;
  readonly keyStream: Stream;
}
