import { createHash } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';
import { type DrandScheme, lengthsOf } from './chain.js';

/** One round as a relay tells it. Nothing in it is verified but its form. */
export interface DrandRound {
  /** 1..2^53 - 1. */
  readonly round: number;
  /** 32 bytes; said to be SHA-256 of the signature. */
  readonly randomness: Uint8Array;
  /** Compressed point, length by scheme. */
  readonly signature: Uint8Array;
  /** Of a chained scheme only: the signature before it; for round 1 the group's 32-byte seed. */
  readonly previousSignature: Uint8Array | undefined;
}

const RANDOMNESS_BYTES = 32;
/** What round 1 of a chain follows. */
const GENESIS_SEED_BYTES = 32;

/**
 * Reads `/public/latest`. Strict: exactly the fields of the scheme, hex of exactly the right length.
 * @param body - JSON, whole
 * @throws LamplighterError ERR_DRAND_FORMAT
 */
export function parseRound(body: Uint8Array, scheme: DrandScheme): DrandRound {
  const fields = objectIn(body);
  const chained = scheme === 'pedersen-bls-chained';
  const expected = ['randomness', 'round', 'signature', ...(chained ? ['previous_signature'] : [])];
  for (const name of expected) if (!fields.has(name)) refuse(`it has no ${name}`);
  for (const name of fields.keys()) if (!expected.includes(name)) refuse('it has fields that do not belong');

  const round = fields.get('round');
  if (typeof round !== 'number' || !Number.isSafeInteger(round) || round < 1) {
    return refuse('its round is no whole number from 1 on');
  }
  const { signatureBytes } = lengthsOf(scheme);
  const previousBytes = round === 1 ? GENESIS_SEED_BYTES : signatureBytes;
  return {
    round,
    randomness: hexOf(fields, 'randomness', RANDOMNESS_BYTES),
    signature: hexOf(fields, 'signature', signatureBytes),
    previousSignature: chained ? hexOf(fields, 'previous_signature', previousBytes) : undefined,
  };
}

/** What a round's signature signs: SHA-256(previous signature ‖ u64 round), or SHA-256(u64 round). */
export function messageOf({
  round,
  previousSignature,
}: Pick<DrandRound, 'round' | 'previousSignature'>): Uint8Array {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(round));
  return createHash('sha256')
    .update(previousSignature ?? new Uint8Array(0))
    .update(number)
    .digest();
}

/** @throws LamplighterError ERR_DRAND_RANDOMNESS when it is not the hash of the signature */
export function refuseUnlessBound({ round, randomness, signature }: DrandRound): void {
  if (createHash('sha256').update(signature).digest().equals(randomness)) return;
  throw new LamplighterError(
    'ERR_DRAND_RANDOMNESS',
    `the randomness of round ${round} is not the hash of its signature`,
  );
}

function objectIn(body: Uint8Array): Map<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return refuse('it is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('it is no object');
  return new Map(Object.entries(value));
}

function hexOf(fields: ReadonlyMap<string, unknown>, name: string, lengthBytes: number): Uint8Array {
  const text = fields.get(name);
  if (typeof text !== 'string' || text.length !== 2 * lengthBytes || !/^[0-9a-f]*$/.test(text)) {
    return refuse(`its ${name} is not ${2 * lengthBytes} hex digits`);
  }
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

function refuse(what: string): never {
  throw new LamplighterError('ERR_DRAND_FORMAT', `the answer is no drand round: ${what}`);
}
