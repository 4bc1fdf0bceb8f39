import { factorsAtRandom, plan, seededRandom, worstAtConstantRate } from './recovery-model.mjs';
import { worstWithPace } from './recovery-pace.mjs';

/** Ticks until improved's last pool is drained. Every schedule compared has pools for as many. */
export const RANGE_TICKS = 3 ** 17;

/**
 * The columns of every comparison: worst case counting one pool at a time, joint, joint with an attacker who sets the pace
 * within 2 and within 10; median, 95th and 99th percentile where nobody chooses. Periods beyond those looked at change
 * no figure shown.
 * @param {import('./recovery-model.mjs').Plan} each
 */
export function figuresOf(each) {
  const deepTicks = each.periods.find((period) => period >= 200);
  const paceTicks = each.periods.find((period) => period >= 27);
  const factors = factorsAtRandom(each, { deepTicks, samples: 4000, random: seededRandom(1) });
  const quantile = (part) => factors[Math.floor(part * (factors.length - 1))];
  return [
    worstAtConstantRate({ ...each, joint: false }, { deepTicks }).factor,
    worstAtConstantRate(each, { deepTicks }).factor,
    worstWithPace(each, { pace: 2, deepTicks: paceTicks }).factor,
    worstWithPace(each, { pace: 10, deepTicks: paceTicks }).factor,
    quantile(0.5),
    quantile(0.95),
    quantile(0.99),
  ];
}

/**
 * Every schedule that was tried: bases and weights of pool 0, then what is not of that form.
 * @returns {(string | number)[][]} rows of a table
 */
export function search() {
  const rows = [
    ['search: radices, pools, weight of pool 0', 'one pool', 'joint: worst', 'pace × 2', 'pace × 10'],
  ];
  for (const radices of [[2], [2, 3], [3, 2], [3], [4], [4, 2], [5], [6]]) {
    for (const firstWeight of [1, 1.5, 2, 3, 4]) {
      const each = plan({ pools: poolsFor(radices), radices, firstWeight });
      rows.push(searched(each));
    }
  }
  for (const ratio of [0.4, 0.6]) rows.push(searched(tilted(ratio)));
  for (const sideWeight of [1, 0.5]) rows.push(searched(interleaved(sideWeight)));
  for (const radix of [2, 3, 4]) {
    const each = plan({ pools: poolsFor([radix]), radices: [radix], deepestOnly: true });
    rows.push(searched({ ...each, name: `${each.name}, one pool a drain` }));
  }
  return rows;
}

const searched = (each) => [each.name, ...figuresOf(each).slice(0, 4)];

/** Pools until the last one's period is as long as improved's. */
function poolsFor(radices) {
  let pools = 1;
  for (let period = 1; period < RANGE_TICKS * 0.999; pools++) period *= radices[(pools - 1) % radices.length];
  return pools;
}

/** Base 2 with shares that fall off: 1 + ratio^i. */
function tilted(ratio) {
  const base = plan({ pools: 28, radices: [2] });
  const weights = base.shares.map((_, pool) => 1 + ratio ** pool);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return {
    ...base,
    name: `base 2, 28 pools, shares 1 + ${ratio}^i`,
    shares: weights.map((weight) => weight / total),
  };
}

/** Periods 1, 2, 3, 4, 6, 8, 12 …: as if the base were √2. */
function interleaved(sideWeight) {
  const periods = [];
  for (let period = 1; period <= RANGE_TICKS; period *= 2)
    periods.push(period, ...(period * 3 <= RANGE_TICKS ? [period * 3] : []));
  periods.sort((a, b) => a - b);
  const weights = periods.map((period) => (period === 1 ? 2 : period % 3 === 0 ? sideWeight : 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return {
    name: `periods 2^a and 3·2^a, ${periods.length} pools, the latter × ${sideWeight}, pool 0 twice`,
    pools: periods.length,
    shares: weights.map((weight) => weight / total),
    periods,
    joint: true,
    due: (tick) => [...periods.keys()].filter((pool) => tick % periods[pool] === 0),
  };
}
