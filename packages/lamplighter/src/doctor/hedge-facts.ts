import type { LamplighterError } from '@lamplighter/core';
import type { Fact } from './fact.js';
import { lookAtSeed, type SeedLook } from './seed-look.js';
import { seedPlaces, type Subject } from './subject.js';

const RESEED_BYTES = 64;

/**
 * What the hedge of TLS would do here: on, degraded or off. No seed is used up: its bytes have no part in this. OpenSSL is given
 * 64 bytes of its own, which changes nothing that matters and shows whether it takes any.
 */
export async function hedgeFacts(subject: Subject): Promise<readonly Fact[]> {
  const refusal = refusalOfOpenssl(subject);
  const facts: Fact[] = [];
  for (const { suffix, folder } of seedPlaces(subject)) {
    facts.push(hedgeFact(`hedge${suffix}`, outcomeOf(await lookAtSeed(subject, folder), refusal), folder));
  }
  return facts;
}

interface Outcome {
  readonly state: 'on' | 'degraded' | 'off' | 'unknown';
  readonly why?: string;
  readonly fault?: LamplighterError;
  /** Whether the folder has to be made writable first. */
  readonly isUnwritable?: boolean;
}

function outcomeOf({ state, fault, unwritable }: SeedLook, refusal: string | undefined): Outcome {
  if (refusal !== undefined) return { state: 'off', why: refusal };
  const because = fault === undefined ? {} : { fault };
  switch (state) {
    case 'unseen':
      return { state: 'unknown', why: 'the machine seed could not be looked at', ...because };
    case 'damaged':
      return { state: 'off', why: 'the machine seed is lost', ...because };
    case 'missing':
      return unwritable === undefined
        ? {
            state: 'off',
            why: 'there is no machine seed yet; the first start makes one and turns it on',
            ...because,
          }
        : {
            state: 'off',
            why: `no machine seed can be made (${unwritable})`,
            isUnwritable: true,
            ...because,
          };
    case 'there':
      break;
  }
  if (fault !== undefined) return { state: 'degraded', why: fault.message, fault };
  if (unwritable === undefined) return { state: 'on' };
  const why = `the machine seed cannot be rotated (${unwritable})`;
  return { state: 'degraded', why, isUnwritable: true };
}

function hedgeFact(id: string, { state, why, fault, isUnwritable }: Outcome, folder: string): Fact {
  const values = { state, ...(fault && { code: fault.code }) };
  if (state === 'on') {
    return { id, level: 'ok', text: 'on: TLS draws on the machine seed, rotated before each use', values };
  }
  return {
    id,
    level: 'weak',
    text: `${state}: ${why ?? 'for no reason known'}`,
    values,
    // Whatever else is wrong has its own fact, which says what to do.
    ...(isUnwritable === true && {
      action: `Make ${folder} writable, with room on its disk: \`df ${folder}\`.`,
    }),
  };
}

function refusalOfOpenssl({ environment, native }: Subject): string | undefined {
  const addon = native.available();
  if (!addon.supported) return addon.reason;
  const bytes = environment.runtimeRandom(RESEED_BYTES);
  try {
    const done = native.reseedOpenssl(bytes);
    return done.supported ? undefined : done.reason;
  } finally {
    bytes.fill(0);
  }
}
