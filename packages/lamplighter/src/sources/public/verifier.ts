import { LamplighterError } from '@lamplighter/core';
import type { bls12_381 } from '@noble/curves/bls12-381.js';
import type { Environment } from '../../local/environment.js';
import type { DrandChain, DrandScheme } from './chain.js';
import { type DrandRound, messageOf } from './round.js';

type Bls = typeof bls12_381;
type PointOnG1 = Parameters<Bls['pairing']>[0];
type PointOnG2 = Parameters<Bls['pairing']>[1];

/**
 * How messages become points: RFC 9380 section 8.8, domain separation tags of draft-irtf-cfrg-bls-signature section 4.2.1.
 * Source of which goes with which scheme: drand, crypto/schemes.go.
 */
const TAGS: Readonly<Record<DrandScheme, string>> = {
  'pedersen-bls-chained': 'BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_',
  'pedersen-bls-unchained': 'BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_',
  'bls-unchained-g1-rfc9380': 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_',
};

/**
 * Verifies rounds of one chain with `@noble/curves`, loaded at the first of them.
 *
 * One verification is some 35 ms of a core; done in one piece, and the first time, it would hold the event loop for 200. So
 * each step has a turn of its own: the longest is 15 ms, and the first time, uncompiled, 60.
 */
export class DrandVerifier {
  readonly #chain: DrandChain;
  readonly #turn: () => Promise<void>;

  constructor(chain: DrandChain, { timers }: Pick<Environment, 'timers'>) {
    this.#chain = chain;
    this.#turn = () => timers.turn();
  }

  /**
   * Checks a round's signature against the chain's key, and nothing else of it.
   * @throws LamplighterError ERR_DRAND_SIGNATURE; ERR_CONFIG when the chain's key is no key
   */
  async verify(round: DrandRound): Promise<void> {
    const { bls12_381: bls } = await import('@noble/curves/bls12-381.js');
    await this.#turn();
    const [left, right] =
      this.#chain.scheme === 'bls-unchained-g1-rfc9380'
        ? await this.#signedOnG1(bls, round)
        : await this.#signedOnG2(bls, round);
    // e(left) · e(right) = 1: one final exponentiation for both.
    const first = bls.pairing(...left, false);
    await this.#turn();
    const second = bls.pairing(...right, false);
    await this.#turn();
    const { Fp12 } = bls.fields;
    if (Fp12.eql(Fp12.finalExponentiate(Fp12.mul(first, second)), Fp12.ONE)) return;
    throw new LamplighterError(
      'ERR_DRAND_SIGNATURE',
      `the signature of round ${round.round} is not the chain's`,
    );
  }

  /** e(-key, H(message)) and e(G1, signature). */
  async #signedOnG2(bls: Bls, round: DrandRound): Promise<[[PointOnG1, PointOnG2], [PointOnG1, PointOnG2]]> {
    const key = keyPoint(() => bls.G1.Point.fromHex(this.#chain.publicKey));
    await this.#turn();
    const signature = signaturePoint(bls.G2.Point, round);
    await this.#turn();
    const message = bls.G2.hashToCurve(messageOf(round), { DST: TAGS[this.#chain.scheme] });
    await this.#turn();
    return [
      [key.negate(), message],
      [bls.G1.Point.BASE, signature],
    ];
  }

  /** e(H(message), -key) and e(signature, G2). */
  async #signedOnG1(bls: Bls, round: DrandRound): Promise<[[PointOnG1, PointOnG2], [PointOnG1, PointOnG2]]> {
    const key = keyPoint(() => bls.G2.Point.fromHex(this.#chain.publicKey));
    await this.#turn();
    const signature = signaturePoint(bls.G1.Point, round);
    await this.#turn();
    const message = bls.G1.hashToCurve(messageOf(round), { DST: TAGS[this.#chain.scheme] });
    await this.#turn();
    return [
      [message, key.negate()],
      [signature, bls.G2.Point.BASE],
    ];
  }
}

interface Point {
  is0(): boolean;
  assertValidity(): void;
  toBytes(isCompressed?: boolean): Uint8Array;
}

function keyPoint<P extends Point>(read: () => P): P {
  try {
    const point = read();
    point.assertValidity();
    // Every signature is valid under it.
    if (!point.is0()) return point;
  } catch {
    // Whatever the library says of it, a person has to look at the configuration.
  }
  throw new LamplighterError('ERR_CONFIG', "drand: the chain's public key is no point of its group", {
    hint: 'compare with what /info of a relay that you trust says',
  });
}

/**
 * On the curve and in the subgroup of prime order, not the point at infinity, and encoded in the one canonical way: a field
 * element that was reduced, or a flag that was ignored, shows when it is encoded again.
 */
function signaturePoint<P extends Point>(group: { fromBytes(bytes: Uint8Array): P }, round: DrandRound): P {
  let point: P | undefined;
  let canonical = false;
  try {
    point = group.fromBytes(round.signature);
    point.assertValidity();
    canonical = Buffer.from(point.toBytes(true)).equals(round.signature);
  } catch {
    point = undefined;
  }
  if (point !== undefined && canonical && !point.is0()) return point;
  const why = point?.is0() === true ? 'the point at infinity' : 'no canonical point of its group';
  throw new LamplighterError('ERR_DRAND_SIGNATURE', `the signature of round ${round.round} is ${why}`);
}
