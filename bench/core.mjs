// The core by itself, in this process: no network, no other thread. Beside it Node's own generator.
import { randomBytes } from 'node:crypto';
import { Accumulator, mix } from '../packages/core/dist/index.js';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { openStream } from '../packages/lamplighter/dist/local/stream.js';
import { median, short, table } from './figures.mjs';

const ROUNDS = 9;
const ROUND_MS = 60;

export function run() {
  const environment = systemEnvironment();
  const root = new Accumulator({ schedule: 'classic', monotonicMs: () => performance.now() });
  root.reseedDirect('seed', [{ label: 'os', bytes: randomBytes(64) }]);
  const stream = openStream(root, environment, 'bench');
  const [event, nonce, start, key, fresh] = [8, 32, 32, 64, 64].map((length) => randomBytes(length));
  const parts = [
    { label: 'certificate', bytes: randomBytes(32) },
    { label: 'nonce', bytes: nonce },
    { label: 'start', bytes: start },
    { label: 'stream', bytes: fresh },
  ];
  const operations = [
    ['add an event of 8 bytes', 100, () => root.add(7, event)],
    ['generate 32 bytes', 10, () => root.generate(32)],
    ['generate 1 MiB', 1, () => root.generate(2 ** 20), 1],
    ['mix of a beacon', 10, () => mix(key, 'beacon', parts)],
    ['stream.read(64)', 10, () => stream.read(64)],
    ['crypto.randomBytes(32)', 10, () => randomBytes(32)],
    ['crypto.randomBytes(64)', 10, () => randomBytes(64)],
    ['crypto.randomBytes(1 MiB)', 1, () => randomBytes(2 ** 20), 1],
  ];
  const rates = operations.map(() => []);
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [index, [, batch, operation]] of operations.entries()) {
      const rate = perSecond(operation, batch);
      if (round >= 0) rates[index].push(rate); // the first round is for the compiler
    }
  }
  table([
    ['', 'a second', 'µs each', 'MiB/s'],
    ...operations.map(([name, , , mebibytes], index) => {
      const rate = median(rates[index]);
      return [name, short(rate), short(1e6 / rate), mebibytes ? short(rate * mebibytes) : ''];
    }),
  ]);
}

/** How often a second, by processor time. @param {() => void} operation @param {number} batch between two looks at the clock */
function perSecond(operation, batch) {
  const before = process.cpuUsage();
  const until = performance.now() + ROUND_MS;
  let done = 0;
  while (performance.now() < until) {
    for (let index = 0; index < batch; index += 1) operation();
    done += batch;
  }
  const { user, system } = process.cpuUsage(before);
  return (done * 1e6) / (user + system);
}
