/**
 * What does it cost to recover from a compromise? `node bench/recovery.mjs`, with `--search` also the schedules that were
 * tried and lost. Figures are entropy spent ÷ one reseed's need, which an ideal scheme would spend. docs/RECOVERY.md
 * explains them. Counts only; nothing is encrypted, but part 3 drives the real schedules.
 */
import { pathToFileURL } from 'node:url';
import { short, table } from './figures.mjs';
import { classicMachine, improvedMachine, planMachine, recover, traffic, warm } from './recovery-events.mjs';
import { plan, seededRandom, ticksUntilRecovery, worstAtConstantRate } from './recovery-model.mjs';
import { figuresOf, search } from './recovery-search.mjs';

const CLASSIC = plan({ name: 'classic: base 2, 32 pools', pools: 32, radices: [2] });
const IMPROVED = plan({ name: 'improved: base 3, 18 pools', pools: 18, radices: [3] });
const WINNER = plan({ name: 'base 2, 28 pools, pool 0 twice', pools: 28, radices: [2], firstWeight: 2 });
const PAPER = plan({
  name: 'after 2014/167: base 3, one pool a drain',
  pools: 18,
  radices: [3],
  deepestOnly: true,
});

export async function run() {
  reference();
  comparison([
    CLASSIC,
    plan({ name: 'base 2, 28 pools', pools: 28, radices: [2] }),
    IMPROVED,
    plan({ name: 'base 4, 15 pools', pools: 15, radices: [4] }),
    plan({ name: 'base 5, 13 pools', pools: 13, radices: [5] }),
    PAPER,
    WINNER,
    plan({ name: 'base 3, 18 pools, pool 0 twice', pools: 18, radices: [3], firstWeight: 2 }),
  ]);
  youth();
  realSchedules();
  singleEvents();
  steering();
  if (process.argv.includes('--search')) {
    console.log('\n  the search: all pools active, worst moment and rate, joint unless said');
    table(search().map((row) => row.map((cell) => (typeof cell === 'number' ? short(cell) : cell))));
  }
}

/** 1. The figures everybody quotes: constant rate, one pool counted at a time, compromised just after it was drained. */
function reference() {
  console.log(
    '\n  reference: constant rate, one pool counted at a time, compromised right after all were drained',
  );
  for (const { each, expected } of [
    { each: CLASSIC, expected: 64 },
    { each: IMPROVED, expected: 54 },
  ]) {
    const { name, pools, periods } = each;
    const alone = plan({ pools, radices: [periods[1]], joint: false });
    const { factor } = worstAtConstantRate(alone, { deepTicks: periods[6], moments: [0] });
    if (Math.abs(factor - expected) > 0.01)
      throw new Error(`the model gives ${factor} for ${name}, not ${expected}`);
    console.log(`  ${name.padEnd(30)} ${short(factor)} ×`);
  }
}

/** 2. All pools active, worst moment and rate; then an attacker who sets the pace; then nobody choosing. */
function comparison(plans) {
  const rows = [['schedule', 'one pool', 'joint: worst', 'pace × 2', 'pace × 10', 'median', '95 %', '99 %']];
  for (const each of plans) rows.push([each.name, ...figuresOf(each).map(short)]);
  console.log('\n  all pools active; worst moment and rate of compromise');
  table(rows);
}

/** 2b. Lazy pools: a young accumulator has few, and pays for few. */
function youth() {
  console.log('\n  improved, by age (pool i joins at tick 3^i); worst moment and rate, joint');
  const rows = [['ticks', 'at 10 ticks/s', 'active pools', 'worst']];
  for (const active of [2, 4, 6, 9, 12, 15, 18]) {
    const young = plan({ pools: active, radices: [3] });
    const deepTicks = Math.min(3 ** (active - 1), 243);
    const { factor } = worstAtConstantRate(young, { deepTicks });
    rows.push([`3^${active - 1}`, duration(3 ** (active - 1) / 10), String(active), short(factor)]);
  }
  table(rows);
}

function duration(seconds) {
  const [size, unit] = [
    [31_557_600, 'years'],
    [86_400, 'days'],
    [3600, 'h'],
    [60, 'min'],
    [0, 's'],
  ].find(([least]) => seconds >= least);
  return `${short(seconds / (size || 1))} ${unit}`;
}

/** 3. The Schedule objects of packages/core, driven event by event, against the model. */
function realSchedules() {
  console.log(
    '\n  the real schedules, one honest source, every event its share of a need, against the model',
  );
  const rows = [['schedule', 'events a need', 'counted', 'measured', 'model']];
  for (const joint of [false, true]) {
    const perNeed = 2 ** 8 + 1; // just more than pool 7 holds at its drain: the worst rate
    const { factor } = recover(classicMachine(), () => ({ source: 1, honest: true }), { perNeed, joint });
    // The book asks for 64 bytes in pool 0: two rounds of 32 events are a tick.
    const model = modelFactor({ ...CLASSIC, joint }, { k0: 0, perTick: 64 / perNeed });
    rows.push(['classic', String(perNeed), joint ? 'joint' : 'one pool', short(factor), short(model)]);
  }
  const nine = plan({ pools: 9, radices: [3] });
  for (const joint of [false, true]) {
    const perNeed = joint ? 19 : 2 * 27 + 1;
    const machine = warm(improvedMachine({ key: 1 }), 18 * 3 ** 8);
    const { factor } = recover(machine, () => ({ source: 1, honest: true }), { perNeed, joint });
    const model = modelFactor({ ...nine, joint }, { k0: 3 ** 8, perTick: 18 / perNeed });
    rows.push([
      'improved, 9 active',
      String(perNeed),
      joint ? 'joint' : 'one pool',
      short(factor),
      short(model),
    ]);
  }
  table(rows);

  const random = seededRandom(2);
  let furthest = 0;
  const runs = 60;
  for (let run = 0; run < runs; run++) {
    const k0 = 3 ** 8 + Math.floor(random() * 729);
    const perNeed = 200 + Math.floor(random() * 2000);
    const machine = warm(improvedMachine({ key: run % 256 }), 18 * k0);
    const { factor } = recover(machine, () => ({ source: 1, honest: true }), { perNeed });
    const model = modelFactor(nine, { k0, perTick: 18 / perNeed });
    furthest = Math.max(furthest, Math.abs(factor / model - 1));
  }
  console.log(
    `  ${runs} runs at moments and rates by chance: ${furthest < 0.001 ? 'all as' : `${short(100 * furthest)} % off what`} the model says`,
  );
}

function modelFactor(each, { k0, perTick }) {
  return ticksUntilRecovery(each, { k0, perTick, limit: 100_000 }) * perTick;
}

/** 4. Few events per need: the order within a round and the length of a tick begin to matter. */
function singleEvents() {
  console.log('\n  few events per need: worst of 400 moments (median), 9 active pools or as many ticks');
  const machines = {
    classic: (seed) => warm(classicMachine(), 64 * 512 + seed),
    improved: (seed) => warm(improvedMachine({ key: seed }), 18 * 3 ** 8),
    'base 2, pool 0 twice': (seed) =>
      planMachine(plan({ pools: 14, radices: [2], firstWeight: 2 }), { seed }),
    'after 2014/167': (seed) =>
      planMachine({ ...plan({ pools: 9, radices: [3], deepestOnly: true }) }, { seed, atRandom: true }),
  };
  const needs = [1, 2, 4, 8, 16, 64, 256];
  for (const [sources, share] of [
    [1, 0],
    [4, 0],
    [4, 0.5],
    [4, 0.9],
  ]) {
    console.log(
      `  ${sources} honest source${sources > 1 ? 's' : ''}, ${100 * share} % of all events are the attacker’s`,
    );
    const rows = [['events a need', ...needs.map(String)]];
    for (const [name, make] of Object.entries(machines)) {
      rows.push([
        name,
        ...needs.map((perNeed) => {
          const factors = manyFactors(make, { sources, share, perNeed, joint: !name.startsWith('after') });
          return `${short(factors.at(-1))} (${short(factors[factors.length >> 1])})`;
        }),
      ]);
    }
    table(rows);
  }
}

function manyFactors(make, { sources, share, perNeed, joint }) {
  const random = seededRandom(perNeed);
  const factors = [];
  for (let machineNumber = 0; machineNumber < 4; machineNumber++) {
    const machine = make(machineNumber + 1);
    const nextEvent = traffic(sources, share, random);
    for (let moment = 0; moment < 100; moment++) {
      warm(machine, Math.floor(random() * 40));
      factors.push(recover(machine, nextEvent, { perNeed, joint }).factor);
    }
  }
  return factors.sort((a, b) => a - b);
}

/** 5. What positions of one's own and a secret order are for. */
function steering() {
  console.log('\n  steering, 64 events a need, 9 pools; more than 1000 × is written as never');
  const written = ({ factor }) => (Number.isFinite(factor) ? `${short(factor)} ×` : 'never');
  const perNeed = 64;

  // One position for all: before each honest event he sends as many of his own as bring pool 0 round again.
  const nine = plan({ pools: 9, radices: [3] });
  let position = 0;
  const global = { ...planMachine(nine, { seed: 1 }) };
  const due = global.due;
  const shared = {
    place(source) {
      global.place(source);
      position = (position + 1) % 9;
      return (position + 8) % 9;
    },
    due,
  };
  const steer = () => (position === 0 ? { source: 1, honest: true } : { source: 200, honest: false });
  console.log(
    `  one position for all sources, he fills up to pool 0:           ${written(recover(shared, steer, { perNeed }))}`,
  );

  const own = warm(improvedMachine({ key: 1 }), 18 * 3 ** 8);
  let turn = 0;
  const steerOwn = () => ({ source: turn++ % 9 === 0 ? 1 : 200, honest: turn % 9 === 1 });
  console.log(
    `  improved against the same:                                       ${written(recover(own, steerOwn, { perNeed }))}`,
  );

  // He causes events of an honest source (packets): only every ninth tells anything.
  for (const { secret, machine } of [
    { secret: 'without a key', machine: improvedMachine() },
    { secret: 'with its key', machine: improvedMachine({ key: 1 }) },
  ]) {
    warm(machine, 18 * 3 ** 8);
    let n = 0;
    const driven = () => ({ source: 1, honest: n++ % 9 === 0 });
    const what = `improved ${secret}, he causes 8 of 9 events of the source:`;
    console.log(`  ${what.padEnd(64)} ${written(recover(machine, driven, { perNeed }))}`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await run();
