import { EventRate } from './event-rate.js';
import { KeyedOrder } from './keyed-order.js';
import { assertSource } from './pool.js';
import type { Schedule } from './schedule.js';

// Specification constants: DESIGN 6.3.

/** Most active pools: at one tick a second the last one is drained every four years. */
export const MAX_ACTIVE_POOLS = 18;
/** Counted events of a tick, whatever the number of active pools. */
export const TICK_EVENTS = 18;
/** On tick k pool i is due if 3^i divides k; it becomes active at tick 3^i. */
const BASE = 3;
const NOTHING: readonly number[] = Object.freeze([]);

/**
 * The default schedule: ticks instead of reseeds, base 3, pools that join when they first can be of use, and an order of
 * pools that is each source's own and secret.
 *
 * Source: DESIGN 6.3, after Dodis, Shamir, Stephens-Davidowitz, Wichs, "How to Eat Your Entropy and Have it Too" (2014),
 * eprint 2014/167. Joint drains, per-source positions and lazy pools are ours: never call it the paper's scheme.
 * docs/RECOVERY.md says what recovery costs.
 *
 * - Who floods: pool i is drained at most once in 3^i ticks, and S sources advance at most 100 · S / 18 ticks in any second.
 * - Who drives the number of a source's events still does not know which of them share a pool: {@link KeyedOrder}.
 * - Pool 0 is active from the first event on, although tick 1 = 3^0 comes only after 18: something must take them.
 * - Due drains wait for the next read and are merged into one reseed: an event costs no reseed, and output that nobody
 *   read tells nobody what went into it.
 *
 * @param options - `monotonicMs`: milliseconds of a clock that is never set back. If it goes back all the same, nothing
 *   waits for it to come round again: only its steps forward count
 */
export function improvedSchedule(options: { monotonicMs: () => number }): Schedule {
  const rate = new EventRate(options.monotonicMs);
  const order = new KeyedOrder();
  let active = 1;
  let nextActivation = BASE;
  let tick = 0;
  let countedEvents = 0;
  /** The deepest pool that is due; -1 if none is. */
  let dueDepth = -1;
  let rekeyDue = false;

  function advance(): void {
    tick += 1;
    dueDepth = Math.max(dueDepth, depthOf(tick));
    if (tick !== nextActivation || active === MAX_ACTIVE_POOLS) return;
    active += 1;
    nextActivation *= BASE;
    order.activate(active);
  }

  return {
    poolCount: MAX_ACTIVE_POOLS,

    get activePools() {
      return active;
    },

    get tick() {
      return tick;
    },

    place(source) {
      assertSource(source);
      const counts = rate.counts(source); // may refuse: nothing has moved yet
      // The event that completes a tick still lies in the pools of that tick.
      const pool = order.next(source);
      if (counts) {
        countedEvents += 1;
        if (countedEvents === TICK_EVENTS) {
          countedEvents = 0;
          advance();
        }
      }
      return pool;
    },

    takeDue() {
      rekeyDue = false;
      // Asked before every byte of output.
      if (dueDepth < 0) return NOTHING;
      const due = Array.from({ length: dueDepth + 1 }, (_, pool) => pool);
      rekeyDue = dueDepth === active - 1;
      dueDepth = -1;
      return due;
    },

    allDrained() {
      dueDepth = -1;
    },

    get rekeyDue() {
      return rekeyDue;
    },

    rekey(rootOutput) {
      order.rekey(rootOutput());
      rekeyDue = false;
    },

    wipe() {
      order.wipe();
    },
  };
}

/** max{ i : 3^i divides k }, at most the last pool. */
function depthOf(k: number): number {
  let depth = 0;
  for (let rest = k; rest % BASE === 0 && depth < MAX_ACTIVE_POOLS - 1; rest /= BASE) depth += 1;
  return depth;
}
