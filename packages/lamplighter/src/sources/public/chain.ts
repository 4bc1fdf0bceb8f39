import { LamplighterError } from '@lamplighter/core';

/**
 * How a chain signs. `pedersen-bls-*`: keys on G1, signatures on G2; `bls-unchained-g1-rfc9380`: the other way round.
 * Chained: a signature is over the one before it as well. Source: drand, crypto/schemes.go.
 */
export const DRAND_SCHEMES = [
  'pedersen-bls-chained',
  'pedersen-bls-unchained',
  'bls-unchained-g1-rfc9380',
] as const;
export type DrandScheme = (typeof DRAND_SCHEMES)[number];

/** A drand network: what has to be known beforehand to believe what anybody says of its rounds. */
export interface DrandChain {
  /** 64 hex digits; names the chain to a relay. */
  readonly hash: string;
  /** Compressed point as hex: 96 digits on G1, 192 on G2. */
  readonly publicKey: string;
  readonly scheme: DrandScheme;
  /** When round 1 was due, and how often rounds come; seconds. Without it no round is too old or too new. */
  readonly times?: { readonly genesisS: number; readonly periodS: number };
}

/**
 * League of Entropy, mainnet. Source: `/info` of its relays, as drand's documentation and drand-client's lib/defaults.ts give
 * it. A chain's hash is SHA-256 over its period, genesis, key, group and name: the tests compute it.
 */
export const DRAND_CHAINS = {
  default: {
    hash: '8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce',
    publicKey:
      '868f005eb8e6e4ca0a47c8a77ceaa5309a47978a7c71bc5cce96366b5d7a569937c529eeda66c7293784a9402801af31',
    scheme: 'pedersen-bls-chained',
    times: { genesisS: 1_595_431_050, periodS: 30 },
  },
  quicknet: {
    hash: '52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971',
    publicKey:
      '83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c' +
      '8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb' +
      '5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a',
    scheme: 'bls-unchained-g1-rfc9380',
    times: { genesisS: 1_692_803_367, periodS: 3 },
  },
} as const satisfies Record<string, DrandChain>;

/** Who relays the League of Entropy's rounds over HTTPS. Source: docs.drand.love, HTTP API. */
export const DRAND_RELAYS = [
  'https://api.drand.sh',
  'https://api2.drand.sh',
  'https://api3.drand.sh',
  'https://drand.cloudflare.com',
] as const;

/** Compressed, of a point on each group: the Zcash serialization of BLS12-381. */
const G1_BYTES = 48;
const G2_BYTES = 96;

/** Bytes of a scheme's keys and signatures, compressed. */
export function lengthsOf(scheme: DrandScheme): { keyBytes: number; signatureBytes: number } {
  return scheme === 'bls-unchained-g1-rfc9380'
    ? { keyBytes: G2_BYTES, signatureBytes: G1_BYTES }
    : { keyBytes: G1_BYTES, signatureBytes: G2_BYTES };
}

/**
 * Checks the form of a chain that somebody configured. Whether the key is a point shows at the first verification: the
 * library for that is loaded only then.
 * @throws LamplighterError ERR_CONFIG
 */
export function checkedChain(chain: DrandChain): DrandChain {
  const { keyBytes } = lengthsOf(chain.scheme);
  if (!/^[0-9a-f]{64}$/.test(chain.hash)) refuse('the chain hash is not 64 hex digits');
  if (!/^[0-9a-f]+$/.test(chain.publicKey) || chain.publicKey.length !== 2 * keyBytes) {
    refuse(`a public key of ${chain.scheme} is ${2 * keyBytes} hex digits`);
  }
  const { genesisS, periodS } = chain.times ?? { genesisS: 0, periodS: 1 };
  if (!Number.isSafeInteger(genesisS) || genesisS < 0 || !Number.isInteger(periodS) || periodS < 1) {
    refuse('genesis and period are whole seconds');
  }
  return chain;
}

/** When a round is due; seconds since 1970. Round 1 comes at genesis. */
export function roundTimeS(times: { genesisS: number; periodS: number }, round: number): number {
  return times.genesisS + (round - 1) * times.periodS;
}

function refuse(message: string): never {
  throw new LamplighterError('ERR_CONFIG', `drand: ${message}`, {
    hint: 'compare with what /info of a relay that you trust says, in lower case',
  });
}
