import type { LamplighterError } from '@lamplighter/core';
import { type Fact, actionFrom } from './fact.js';
import { lookAtSeed, type SeedLook } from './seed-look.js';
import { seedPlaces, type Subject } from './subject.js';

const DAY_MS = 86_400_000;

/** The machine seed of each place: there, whole, and nobody else's. Looked at, never used. */
export async function seedFacts(subject: Subject): Promise<readonly Fact[]> {
  const nowMs = Number(subject.environment.realtimeNs() / 1_000_000n);
  const facts: Fact[] = [];
  for (const { suffix, folder } of seedPlaces(subject)) {
    const look = await lookAtSeed(subject, folder);
    facts.push(seedFact(`seed${suffix}`, look, folder, nowMs), ...folderFact(`seed${suffix}`, look, folder));
  }
  return facts;
}

function seedFact(id: string, look: SeedLook, folder: string, nowMs: number): Fact {
  const { state, path, facts, fault, file } = look;
  const values = {
    state,
    path,
    ...(file && { mode: octal(file.mode), userId: file.userId }),
    ...(fault && { code: fault.code }),
  };
  switch (state) {
    case 'missing':
      if (look.sealedAt !== undefined) {
        return {
          id,
          level: 'weak',
          text: `sealed at ${look.sealedAt} to become an image: there is no seed, and every copy has to enrol`,
          values: { ...values, sealedAt: look.sealedAt },
          action:
            'In a copy, not here: enrol it, `lamplighter enroll --relay URL --token-file FILE`, or give it a token by cloud-init.',
        };
      }
      return {
        id,
        level: 'weak',
        text: `there is none at ${path}; an agent or node makes one at its first start, from what this machine has by itself`,
        values,
        action: `Make this machine’s seed: \`lamplighter seed create --state ${folder}\`.`,
      };
    case 'damaged':
      return {
        id,
        level: 'broken',
        text: fault?.message ?? 'the machine seed is lost',
        values,
        action: `Enrol this machine again, or make another seed: \`lamplighter seed create --replace --state ${folder}\`.`,
      };
    case 'unseen':
      return {
        id,
        level: 'weak',
        text: `could not be looked at: this user may not read ${path}`,
        values,
        action: 'Look as the user that the agent or node runs as, or as root: `sudo lamplighter doctor`.',
      };
    case 'there':
      break;
  }
  const counter = Number(facts?.counter ?? 0n);
  const ageDays = (nowMs - (facts?.lastChangedMs ?? nowMs)) / DAY_MS;
  const known = { ...values, uses: counter, ageDays: Math.round(ageDays * 10) / 10 };
  if (fault !== undefined) {
    return {
      id,
      level: 'weak',
      text: `${fault.message}: it is mixed in, and nothing is claimed of it`,
      values: known,
      action: actionAgainst(fault, look, folder),
    };
  }
  const changed = `used or folded ${counter} times, last changed ${ago(ageDays)}`;
  const owner = look.isOfAnother ? `; it is user ${file?.userId ?? '?'}’s, who alone may use it` : '';
  return { id, level: 'ok', text: `there and whole, ${changed}${owner}`, values: known };
}

function actionAgainst({ code, hint }: LamplighterError, { path, file }: SeedLook, folder: string): string {
  if (code === 'ERR_SEED_COPIED') {
    return `This is a copied image: enrol it again, or make it a seed of its own: \`lamplighter seed create --replace --state ${folder}\`.`;
  }
  if (code === 'ERR_SEED_MODE' && file !== undefined && (file.mode & 0o077) === 0) {
    return `Give the seed to the user that the agent or node runs as: \`chown USER ${path}\`; if others can have read it, enrol again.`;
  }
  return actionFrom(hint ?? 'enrol this machine again');
}

/** Nothing is said of a folder that is as it should be. */
function folderFact(id: string, { folder: owner }: SeedLook, folder: string): readonly Fact[] {
  if (owner === undefined || (owner.mode & 0o022) === 0) return [];
  return [
    {
      id: `${id}.folder`,
      level: 'weak',
      text: `${folder} has mode ${octal(owner.mode)}: others may put another seed there, or take it away`,
      values: { mode: octal(owner.mode), userId: owner.userId },
      action: `Let nobody else write there: \`chmod 0700 ${folder}\`.`,
    },
  ];
}

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');

function ago(days: number): string {
  if (days < 0) return 'at a time that is still to come';
  if (days < 1) return `${(days * 24).toFixed(1)} hours ago`;
  return `${days.toFixed(0)} days ago`;
}
