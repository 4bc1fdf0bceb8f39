/**
 * What recovery from a compromise costs, counted and not encrypted.
 *
 * The attacker has seen the whole state after tick `k0`. From then on honest entropy arrives, `x` of one reseed's need per
 * tick, and is spread over the pools by their shares. He reads after every tick, so what a drain brings is lost to him when
 * it is less than one need (he tries all values of it), and ends his knowledge when it is a whole one. The cost is the
 * honest entropy spent until then, over the one need that an ideal scheme would spend.
 *
 * Amounts are real numbers here: many events per need. recovery-real.mjs counts single events.
 *
 * @typedef {object} Plan
 * @property {string} name
 * @property {number} pools
 * @property {number[]} shares of all entropy, pool by pool, together 1
 * @property {(tick: number) => readonly number[]} due the pools drained into one reseed on this tick, 1, 2, 3, …
 * @property {number[]} periods ticks between two drains of each pool
 * @property {boolean} joint whether the amounts of pools drained together add up; the book counts one pool at a time
 */

/**
 * A plan in which pool i is drained every radix_1 · … · radix_i ticks.
 * @param {object} options
 * @param {string} [options.name]
 * @param {number} options.pools
 * @param {number[]} options.radices repeated as often as needed: [3], or [2, 3] for periods 1, 2, 6, 12, 36 …
 * @param {number} [options.firstWeight] share of pool 0, in shares of the others
 * @param {boolean} [options.joint]
 * @param {boolean} [options.deepestOnly] only the deepest pool due is drained, as in the paper's scheme
 * @returns {Plan}
 */
export function plan({ name, pools, radices, firstWeight = 1, joint = true, deepestOnly = false }) {
  const periods = [1];
  while (periods.length < pools)
    periods.push(periods.at(-1) * radices[(periods.length - 1) % radices.length]);
  const total = pools - 1 + firstWeight;
  const shares = periods.map((_, pool) => (pool === 0 ? firstWeight : 1) / total);
  return {
    name:
      name ??
      `base ${radices.join(',')}, ${pools} pools${firstWeight === 1 ? '' : `, pool 0 × ${firstWeight}`}`,
    pools,
    shares,
    periods,
    joint,
    due(tick) {
      let depth = 0;
      while (depth + 1 < pools && tick % periods[depth + 1] === 0) depth += 1;
      return deepestOnly ? [depth] : Array.from({ length: depth + 1 }, (_, pool) => pool);
    },
  };
}

/**
 * For a compromise after tick `k0` and one unit of entropy a tick: what each later drain brings that none before it did.
 * @param {Plan} plan
 * @param {number} k0
 * @param {number} ticks how far to look
 * @returns {{ ticks: number, brings: number }[]} rising in both
 */
function records(plan, k0, ticks) {
  const { shares, joint } = plan;
  const drainedAt = shares.map(() => 0);
  const found = [];
  let most = 0;
  for (let t = 1; t <= ticks; t++) {
    let brings = 0;
    for (const pool of plan.due(k0 + t)) {
      const amount = shares[pool] * (t - drainedAt[pool]);
      brings = joint ? brings + amount : Math.max(brings, amount);
      drainedAt[pool] = t;
    }
    if (brings > most * (1 + 1e-12)) {
      found.push({ ticks: t, brings });
      most = brings;
    }
  }
  return found;
}

/**
 * The worst factor at constant rate: the attacker picks moment and rate.
 *
 * Exact, without a grid of rates: with x of a need per tick, recovery is the first drain that brings 1/x. So the factor x · t
 * is largest just below the rate at which the record before would have been enough.
 * @param {Plan} plan
 * @param {{ deepTicks: number, moments?: Iterable<number> }} range periods up to `deepTicks` are looked at; `moments` k0,
 *   all of them if left out
 */
export function worstAtConstantRate(plan, { deepTicks, moments }) {
  let worst = { factor: 0, k0: 0, perTick: 0, ticks: 0 };
  for (const k0 of moments ?? Array.from({ length: deepTicks }, (_, k) => k)) {
    const found = records(plan, k0, 2 * deepTicks);
    for (let index = 1; index < found.length; index++) {
      const factor = found[index].ticks / found[index - 1].brings;
      if (factor > worst.factor) {
        worst = { factor, k0, perTick: 1 / found[index - 1].brings, ticks: found[index].ticks };
      }
    }
  }
  return worst;
}

/**
 * Factors at constant rate for moments and rates that nobody picked: every moment alike, rates evenly on a logarithmic scale.
 * @param {Plan} plan
 * @param {{ deepTicks: number, samples: number, random: () => number }} options
 * @returns {number[]} sorted
 */
export function factorsAtRandom(plan, { deepTicks, samples, random }) {
  const factors = [];
  // From "pool 0 alone does it" down to "some pool drained every deepTicks / 4 ticks does it".
  const rates = [1 / plan.shares[0], 4 / (plan.shares.at(-1) * deepTicks)].map(Math.log);
  for (let sample = 0; sample < samples; sample++) {
    const perTick = Math.exp(rates[1] + random() * (rates[0] - rates[1]));
    const found = records(plan, Math.floor(random() * deepTicks), 2 * deepTicks);
    const enough = found.find(({ brings }) => brings * perTick >= 1);
    factors.push(enough === undefined ? Number.POSITIVE_INFINITY : enough.ticks * perTick);
  }
  return factors.sort((a, b) => a - b);
}

/** Predicts one run: ticks until recovery. @param {Plan} plan @param {{ k0: number, perTick: number, limit: number }} run */
export function ticksUntilRecovery(plan, { k0, perTick, limit }) {
  return records(plan, k0, limit).find(({ brings }) => brings * perTick >= 1 - 1e-9)?.ticks;
}

/** Numbers from 0 to 1 that are the same in every run (mulberry32). @param {number} seed */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
