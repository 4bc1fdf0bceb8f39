// The functions of `lamplighter` beside node:crypto's, in one process, turn about: what is busy is busy for both.
import crypto from 'node:crypto';
import { median, short, table } from './figures.mjs';

const ROUNDS = 15;
const ROUND_MS = 40;

export async function run() {
  const lamplighter = await import('lamplighter');
  const webcrypto = globalThis.crypto;
  const sixteen = new Uint8Array(16);
  const mebibyte = new Uint8Array(2 ** 20);
  const [ours, theirs] = [lamplighter, crypto];
  const rows = [['work', 'ours', 'node’s', 'ratio', 'at least', 'aim']];
  const add = (name, [mine, other], atLeast, aim) =>
    rows.push([
      name,
      `${short(mine)} ns`,
      `${short(other)} ns`,
      `${(other / mine).toFixed(2)} ×`,
      atLeast,
      aim,
    ]);

  add(
    'randomBytes(32)',
    sync(
      () => ours.randomBytes(32),
      () => theirs.randomBytes(32),
    ),
    '5',
    '15',
  );
  add(
    'getRandomValues(16 bytes)',
    sync(
      () => ours.getRandomValues(sixteen),
      () => webcrypto.getRandomValues(sixteen),
    ),
    '5',
    '15',
  );
  add(
    'randomBytes(32), one a turn',
    await turns(
      () => ours.randomBytes(32),
      () => theirs.randomBytes(32),
    ),
    '0.5',
    '1',
  );
  const [bare] = await turns(
    () => undefined,
    () => undefined,
  );
  add(
    'randomFillSync(1 MiB)',
    sync(
      () => ours.randomFillSync(mebibyte),
      () => theirs.randomFillSync(mebibyte),
    ),
    '0.7 / 0.35',
    '1.1 / 0.5',
  );
  add(
    'randomUUID()',
    sync(
      () => ours.randomUUID(),
      () => theirs.randomUUID(),
    ),
    '0.5',
    '1',
  );
  add(
    'randomInt(100)',
    sync(
      () => ours.randomInt(100),
      () => theirs.randomInt(100),
    ),
    '0.5',
    '1',
  );
  add(
    'randomInt(2 ** 40)',
    sync(
      () => ours.randomInt(2 ** 40),
      () => theirs.randomInt(2 ** 40),
    ),
    '0.5',
    '1',
  );
  table(rows);
  console.log(
    `  a turn of the event loop with nothing in it: ${short(bare)} ns, in both columns of "one a turn"`,
  );
  const missing = lamplighter.status().separators.filter(({ supported }) => !supported);
  console.log(`  separators missing: ${missing.map(({ name }) => name).join(', ') || 'none'}`);
}

/** Nanoseconds a call of each, median of rounds taken in turns. */
function sync(...works) {
  const counts = works.map((work) => callsIn(work, ROUND_MS));
  const times = works.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, work] of works.entries()) times[index].push(timeOf(work, counts[index]));
  }
  return times.map(median);
}

/** How many calls fill the time; warms up too. */
function callsIn(work, forMs) {
  let calls = 0;
  for (const end = performance.now() + 3 * forMs; performance.now() < end; calls += 1) work();
  let count = Math.max(1, Math.ceil(calls / 3));
  const ms = (timeOf(work, count) * count) / 1e6;
  return Math.max(1, Math.ceil((count * forMs) / ms));
}

function timeOf(work, count) {
  const startMs = performance.now();
  for (let done = 0; done < count; done += 1) work();
  return ((performance.now() - startMs) * 1e6) / count;
}

async function turns(...works) {
  const count = 10_000;
  const times = works.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, work] of works.entries()) times[index].push(await turnsOf(work, count));
  }
  return times.map(median);
}

function turnsOf(work, count) {
  return new Promise((resolve) => {
    let left = count;
    const startMs = performance.now();
    const turn = () => {
      work();
      left -= 1;
      if (left > 0) setImmediate(turn);
      else resolve(((performance.now() - startMs) * 1e6) / count);
    };
    setImmediate(turn);
  });
}

if (import.meta.url === `file://${process.argv[1]}`) await run();
