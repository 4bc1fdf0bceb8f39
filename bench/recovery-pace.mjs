/**
 * The attacker who also sets the pace. With events of his own he hurries the ticks, so that less honest entropy falls
 * between two drains; he may do so at one time and not at another. Between the honest share of a tick when he floods and when
 * he rests lies a factor `pace`: 2 if he owns half of the counted events while he floods, 10 if nine in ten.
 *
 * His best plan for a given moment is a linear program: the honest entropy x_t of each tick between l and pace · l, every
 * drain but the last below one need, as much in total as possible. It is solved exactly, so the figures are worst cases and
 * not the best attack that somebody thought of.
 * @param {import('./recovery-model.mjs').Plan} plan whose `joint` is true
 * @param {{ pace: number, deepTicks: number, moments?: number[] }} options
 */
export function worstWithPace(plan, { pace, deepTicks, moments }) {
  let worst = { factor: 0, k0: 0, ticks: 0 };
  for (const k0 of moments ?? Array.from({ length: deepTicks }, (_, k) => k)) {
    const drains = drainRows(plan, k0, 2 * deepTicks);
    for (const ticks of lastTicks(plan, k0, 2 * deepTicks)) {
      const factor = mostEntropy(drains.slice(0, ticks - 1), ticks, pace, 1 / Math.min(...plan.shares));
      if (factor > worst.factor) worst = { factor, k0, ticks };
    }
  }
  return worst;
}

/** Recovery happens at deep drains: others bring no more than earlier ones did, and more ticks only add to the total. */
function lastTicks(plan, k0, limit) {
  const ticks = [];
  let deepest = 0;
  for (let t = 1; t <= limit; t++) {
    const depth = Math.max(...plan.due(k0 + t));
    if (depth >= deepest && depth > 0) ticks.push(t);
    deepest = Math.max(deepest, depth);
  }
  return ticks;
}

/** For each tick t: how much of each x_u, u = 1 … t, its drain brings. */
function drainRows(plan, k0, ticks) {
  const drainedAt = plan.shares.map(() => 0);
  const rows = [];
  for (let t = 1; t <= ticks; t++) {
    const row = new Float64Array(t);
    for (const pool of plan.due(k0 + t)) {
      for (let u = drainedAt[pool]; u < t; u++) row[u] += plan.shares[pool];
      drainedAt[pool] = t;
    }
    rows.push(row);
  }
  return rows;
}

/** max Σ x_t, where x_t = l + y_t ≤ slots, 0 ≤ y_t ≤ (pace − 1) · l, and each row · x ≤ 1. */
function mostEntropy(rows, ticks, pace, slots) {
  const columns = ticks + 1; // y_1 … y_ticks, l
  const constraints = rows.map((row) => {
    const line = new Float64Array(columns);
    line.set(row);
    line[ticks] = row.reduce((sum, weight) => sum + weight, 0);
    return { line, bound: 1 };
  });
  for (let t = 0; t < ticks; t++) {
    const line = new Float64Array(columns);
    line[t] = 1;
    line[ticks] = 1 - pace;
    constraints.push({ line, bound: 0 });
    // A tick is one round, and no event is worth more than one need: else the ideal would not be one need either.
    const most = new Float64Array(columns);
    most[t] = most[ticks] = 1;
    constraints.push({ line: most, bound: slots });
  }
  const goal = new Float64Array(columns).fill(1);
  goal[ticks] = ticks;
  return maximise(goal, constraints);
}

/** The simplex method, for bounds ≥ 0 (the origin is a corner). Ties go to the lowest index: Bland's rule never cycles. */
export function maximise(goal, constraints) {
  const columns = goal.length;
  const width = columns + 1;
  const table = constraints.map(({ line, bound }) => {
    const row = new Float64Array(width);
    row.set(line);
    row[columns] = bound;
    return row;
  });
  const costs = new Float64Array(width);
  costs.set(goal);
  // Each row's slack takes the place of the variable that leaves: the table stays as small as the problem.
  const inBasis = constraints.map((_, index) => columns + index);
  const outside = Array.from({ length: columns }, (_, index) => index);
  for (let pivots = 0; pivots < 50_000; pivots++) {
    const enter = chooseColumn(costs, outside, columns, pivots > 5_000);
    if (enter === -1) return -costs[columns];
    const leave = chooseRow(table, inBasis, enter, columns);
    if (leave === -1) return Number.POSITIVE_INFINITY;
    pivot(table, costs, leave, enter);
    [inBasis[leave], outside[enter]] = [outside[enter], inBasis[leave]];
  }
  throw new Error('the linear program did not end');
}

function chooseColumn(costs, outside, columns, careful) {
  let chosen = -1;
  for (let column = 0; column < columns; column++) {
    if (costs[column] <= 1e-9) continue;
    const better = careful ? outside[column] < outside[chosen] : costs[column] > costs[chosen];
    if (chosen === -1 || better) chosen = column;
  }
  return chosen;
}

function chooseRow(table, inBasis, column, columns) {
  let chosen = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let row = 0; row < table.length; row++) {
    if (table[row][column] <= 1e-9) continue;
    const ratio = table[row][columns] / table[row][column];
    if (ratio < least - 1e-12 || (ratio < least + 1e-12 && inBasis[row] < inBasis[chosen])) {
      chosen = row;
      least = ratio;
    }
  }
  return chosen;
}

function pivot(table, costs, leave, enter) {
  const row = table[leave];
  const inverse = 1 / row[enter];
  for (let column = 0; column < row.length; column++) row[column] *= inverse;
  row[enter] = inverse;
  for (const other of [...table, costs]) {
    if (other === row || other[enter] === 0) continue;
    const factor = other[enter];
    other[enter] = 0;
    for (let column = 0; column < row.length; column++) other[column] -= factor * row[column];
  }
}
