/**
 * Recovery counted event by event, on anything that places events and says what is due: the real Schedule objects of
 * packages/core, or a plan (recovery-model.mjs) with shuffled rounds.
 *
 * @typedef {object} Machine
 * @property {(source: number) => number} place the pool of the next event of a source
 * @property {() => readonly number[]} due the pools drained into one reseed now; asked after every event, as by an attacker
 *   who reads all the time
 */
import { seededRandom } from './recovery-model.mjs';

const { classicSchedule } = await core('schedule.js');
const { improvedSchedule } = await core('improved-schedule.js');

async function core(file) {
  try {
    return await import(`../packages/core/dist/fortuna/${file}`);
  } catch (cause) {
    throw new Error('packages/core is not built: npm run build', { cause });
  }
}

/** The book's schedule itself, with time enough between any two events for its 100 ms. @returns {Machine} */
export function classicMachine() {
  let ms = 0;
  const lengths = new Float64Array(32);
  const schedule = classicSchedule({ monotonicMs: () => ms });
  return {
    place(source) {
      ms += 100;
      const pool = schedule.place(source);
      lengths[pool] += 34; // an event of 32 bytes and its header
      return pool;
    },
    due() {
      const due = schedule.takeDue((pool) => lengths[pool]);
      for (const pool of due) lengths[pool] = 0;
      return due;
    },
  };
}

/**
 * The improved schedule itself, with time enough between any two events that each counts.
 * @param {{ key?: number }} [options] the secret key, as its repeated byte; none if left out
 * @returns {Machine}
 */
export function improvedMachine({ key } = {}) {
  let ms = 0;
  const schedule = improvedSchedule({ monotonicMs: () => ms });
  if (key !== undefined) schedule.rekey(() => new Uint8Array(32).fill(key));
  return {
    place(source) {
      ms += 10;
      return schedule.place(source);
    },
    due: () => schedule.takeDue(() => 0),
  };
}

/**
 * A plan as a machine: each source walks rounds of one slot per share, shuffled; a tick is one round of events.
 * @param {import('./recovery-model.mjs').Plan} plan whose shares are whole multiples of the smallest
 * @param {{ seed: number, atRandom?: boolean }} options `atRandom`: every event into a pool drawn by itself, no rounds
 * @returns {Machine}
 */
export function planMachine(plan, { seed, atRandom = false }) {
  const random = seededRandom(seed);
  const least = Math.min(...plan.shares);
  const slots = plan.shares.flatMap((share, pool) =>
    Array.from({ length: Math.round(share / least) }, () => pool),
  );
  const rounds = new Map();
  let events = 0;
  let asked = 0;
  return {
    place(source) {
      events += 1;
      if (atRandom) return slots[Math.floor(random() * slots.length)];
      let round = rounds.get(source) ?? { order: [...slots], next: slots.length };
      if (round.next === slots.length) {
        for (let last = slots.length - 1; last > 0; last--) {
          const chosen = Math.floor(random() * (last + 1));
          [round.order[last], round.order[chosen]] = [round.order[chosen], round.order[last]];
        }
        round.next = 0;
      }
      rounds.set(source, round);
      return round.order[round.next++];
    },
    due() {
      const tick = Math.floor(events / slots.length);
      if (tick === asked) return [];
      asked = tick;
      return plan.due(tick);
    },
  };
}

/** One of two kinds of event, one after the other for ever. @param {number} sources @param {number} share of the attacker */
export function traffic(sources, share, random) {
  let next = 0;
  return () => {
    if (random() < share) return { source: 200, honest: false };
    next = (next + 1) % sources;
    return { source: next, honest: true };
  };
}

/**
 * Goes on until recovery.
 * @param {Machine} machine compromised now: what lies in its pools is known
 * @param {() => { source: number, honest: boolean }} nextEvent
 * @param {{ perNeed: number, joint?: boolean, limit?: number }} options honest events that make up one need
 * @returns {{ factor: number, events: number }} entropy spent over the ideal; infinite when it is over `limit` and not done
 */
export function recover(machine, nextEvent, { perNeed, joint = true, limit = 1000 }) {
  const unknown = new Float64Array(32);
  let honestEvents = 0;
  for (let events = 1; ; events++) {
    const { source, honest } = nextEvent();
    const pool = machine.place(source);
    if (honest) {
      unknown[pool] += 1;
      honestEvents += 1;
    }
    let brings = 0;
    for (const drained of machine.due()) {
      brings = joint ? brings + unknown[drained] : Math.max(brings, unknown[drained]);
      unknown[drained] = 0;
    }
    if (brings >= perNeed) return { factor: honestEvents / perNeed, events };
    if (honestEvents > limit * perNeed) return { factor: Number.POSITIVE_INFINITY, events };
  }
}

/** Runs a machine without looking, to a certain age. @param {Machine} machine */
export function warm(machine, events, source = 201) {
  for (let event = 0; event < events; event++) {
    machine.place(source);
    machine.due();
  }
  return machine;
}
