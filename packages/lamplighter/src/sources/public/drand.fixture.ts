import { createHash } from 'node:crypto';
import { bls12_381 as bls } from '@noble/curves/bls12-381.js';
import type { DrandChain, DrandScheme } from './chain.js';
import { messageOf } from './round.js';

/** A round as a relay sends it. */
export interface RoundJson {
  readonly round: number;
  readonly randomness: string;
  readonly signature: string;
  readonly previous_signature?: string;
}

/** A network of one, with a key that is known: for tests. */
export interface OwnDrand {
  readonly chain: DrandChain & { readonly times: { readonly genesisS: number; readonly periodS: number } };
  /** The number of the round that is due now. */
  dueNow(): number;
  sign(round: number): RoundJson;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** As a network does it; the signature a chained round follows is taken from its number instead of from a chain. */
export function ownDrand(scheme: DrandScheme, periodS = 3): OwnDrand {
  const secret = createHash('sha256').update(`secret of ${scheme}`).digest();
  const onG1 = scheme === 'bls-unchained-g1-rfc9380';
  const key = onG1 ? bls.shortSignatures.getPublicKey(secret) : bls.longSignatures.getPublicKey(secret);
  const times = { genesisS: 1_700_000_000, periodS };

  function signature(message: Uint8Array): string {
    return onG1
      ? bls.shortSignatures
          .sign(bls.shortSignatures.hash(message, 'BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_'), secret)
          .toHex(true)
      : bls.longSignatures
          .sign(bls.longSignatures.hash(message, 'BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_'), secret)
          .toHex(true);
  }

  return {
    chain: {
      hash: hex(createHash('sha256').update(scheme).digest()),
      publicKey: key.toHex(true),
      scheme,
      times,
    },
    dueNow: () => Math.floor((Date.now() / 1_000 - times.genesisS) / periodS) + 1,
    sign(round) {
      const chained = scheme === 'pedersen-bls-chained';
      const previous = chained ? Buffer.alloc(round === 1 ? 32 : 96, round) : undefined;
      const signed = signature(messageOf({ round, previousSignature: previous }));
      return {
        round,
        randomness: hex(createHash('sha256').update(signed, 'hex').digest()),
        signature: signed,
        ...(previous !== undefined && { previous_signature: hex(previous) }),
      };
    },
  };
}
