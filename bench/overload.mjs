// A relay that is asked for once, three times and ten times what it can: how much it still serves, how fast, what it tells the
// rest, and whether a quiet machine and the admin listener notice.
import { setTimeout as sleep } from 'node:timers/promises';
import { SHED } from './answers.mjs';
import { startCrowd } from './crowd.mjs';
import { isWanted, median, percentile, rounds, short, table } from './figures.mjs';
import { freshConnections, keepAlive } from './load.mjs';
import { machineTemplate, makeMachines } from './machines.mjs';
import { beImportant, pinThisProcess, processorSeconds, residentMiB, startBurners } from './processes.mjs';
import { startProbe } from './probe.mjs';
import { beaconRequest, makeFolder, startRelay } from './relay.mjs';

const TIMES = [1, 3, 10];
const ROUNDS = rounds(3);
const FOR_MS = 4_000;
const PAUSE_MS = 500;
/** Client processes, and the machines of each. */
const CROWDS = 2;
const MACHINES = 128;
/**
 * Processes that do nothing on the relay's core, so that it gets a fifth of it: clients that cost as much as the relay does
 * could not ask for ten times what a whole core can.
 */
const BURNERS = 4;
/** So many that the relay never waits: whoever waits on a shared core waits longer. Of new connections alone. */
const CAPACITY = { connections: 64, forMs: 3_000 };
/** What the others ask for, of the capacity, while one sends hellos that go nowhere. */
const HONEST = 0.5;
const CLIENTS = new URL('overload-clients.mjs', import.meta.url);

export async function run() {
  pinThisProcess();
  const closing = [];
  try {
    const folder = await makeFolder();
    closing.push(() => folder.remove());
    const relay = await startRelay(folder);
    closing.push(relay.stop);
    const template = machineTemplate(folder.file);
    const { port, adminPort } = folder;
    const machines = makeMachines(template, 0, 2);
    const crowds = [];
    for (let crowd = 0; crowd < CROWDS; crowd += 1) {
      const started = await startCrowd(CLIENTS, {
        template,
        port,
        from: (crowd + 1) * 1_000,
        count: MACHINES,
      });
      closing.push(() => started.stop());
      crowds.push(started);
    }
    const target = { port, tls: machines[0].tls, request: beaconRequest(Buffer.alloc(32, 1)) };
    // Compiled while it has its core to itself.
    for (const load of [keepAlive, freshConnections]) await load(target, CAPACITY);
    closing.push(startBurners(BURNERS));
    beImportant();
    const place = { pid: relay.pid, crowds, probe: () => startProbe({ port, adminPort, machines }) };
    const beacons = [];

    const handshakes = await capacity(freshConnections, target);
    if (isWanted('connections'))
      await measure('new connections', handshakes, place, beacons, (times) =>
        crowds.map(() => ({ load: 'connections', rate: (times * handshakes) / CROWDS })),
      );
    if (isWanted('hellos'))
      await measure('hellos that go nowhere, from one address', handshakes, place, beacons, (times) => [
        { load: 'connections', rate: HONEST * handshakes },
        { load: 'hellos', rate: times * handshakes },
      ]);
    if (isWanted('keepAlive')) {
      await Promise.all(crowds.map((crowd) => crowd.tell({ load: 'openLines' })));
      // By the same clients, which sleep when they have nothing to do: to wake one costs the relay more than an answer.
      const steady = await Promise.all(crowds.map((crowd) => crowd.tell({ load: 'steady', forMs: FOR_MS })));
      const requests = sum(steady, ({ inTime }) => inTime) / FOR_SECONDS;
      await measure('keep-alive requests', requests, place, beacons, (times) =>
        crowds.map(() => ({ load: 'keepAlive', rate: (times * requests) / CROWDS })),
      );
    }
    const distinct = new Set(beacons.map((beacon) => beacon.toString('latin1'))).size;
    console.log(`  ${short(beacons.length)} beacons, ${short(beacons.length - distinct)} of them twice`);
    if (distinct !== beacons.length) throw new Error('a beacon was given out twice');
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

/** Answers a second when just as many are asked for as are answered. */
async function capacity(load, target) {
  const beganMs = performance.now();
  const answers = await load(target, CAPACITY);
  return (answers / (performance.now() - beganMs)) * 1_000;
}

async function measure(what, capacityPerSecond, { pid, crowds, probe }, beacons, ordersFor) {
  console.log(`\n  ${what}: ${short(capacityPerSecond)} a second is what the relay can`);
  const before = residentMiB(pid, 'VmRSS');
  const runs = TIMES.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, times] of TIMES.entries()) {
      const probing = await probe();
      const [spent, beganMs] = [processorSeconds(pid), performance.now()];
      const orders = ordersFor(times).map((order) => ({ ...order, forMs: FOR_MS }));
      const reports = await Promise.all(orders.map((order, crowd) => crowds[crowd].tell(order)));
      const relayBusy = (processorSeconds(pid) - spent) / ((performance.now() - beganMs) / 1_000);
      const seen = await probing.stop();
      runs[index].push({ reports, seen, relayBusy });
      for (const report of reports) beacons.push(...split(report.beacons));
      beacons.push(...seen.beacons);
      await sleep(PAUSE_MS);
    }
  }
  const ms = (latencies, at) => short(percentile(latencies, at));
  table([
    ['asked for', 'a second', 'served', 'of capacity', 'p50 ms', 'p99', 'relay busy', 'clients'],
    ...TIMES.map((times, index) => {
      const middle = (of) => median(runs[index].map(of));
      const all = (of) => runs[index].flatMap(({ reports }) => reports).flatMap(of);
      const served = middle(({ reports }) => sum(reports, ({ inTime }) => inTime) / FOR_SECONDS);
      return [
        `${times} ×`,
        short(middle(({ reports }) => sum(reports, ({ offered }) => offered) / FOR_SECONDS)),
        short(served),
        `${Math.round((100 * served) / capacityPerSecond)} %`,
        ms(
          all(({ latenciesMs }) => latenciesMs),
          0.5,
        ),
        ms(
          all(({ latenciesMs }) => latenciesMs),
          0.99,
        ),
        `${Math.round(100 * middle(({ relayBusy }) => relayBusy))} %`,
        `${Math.round(100 * middle(({ reports }) => sum(reports, (one) => one.busySeconds / one.seconds)))} %`,
      ];
    }),
  ]);
  table([
    ['beside it', 'quiet, kept', 'p99 ms', 'quiet, new', 'p99 ms', '/healthz', 'p50 ms', 'p99'],
    ...TIMES.map((times, index) => {
      const cells = ['kept', 'fresh', 'health'].flatMap((who) => {
        const seen = runs[index].map((run) => run.seen[who]);
        const latencies = seen.flatMap(({ latenciesMs }) => latenciesMs);
        const share = `${latencies.length} of ${sum(seen, ({ asked }) => asked)}`;
        const p50 = who === 'health' ? [ms(latencies, 0.5)] : [];
        return [share, ...p50, ms(latencies, 0.99)];
      });
      return [`${times} ×`, ...cells];
    }),
  ]);
  for (const [index, times] of TIMES.entries()) {
    const outcomes = tally(runs[index].flatMap(({ reports }) => reports));
    const told = Object.entries(outcomes).map(([outcome, count]) => `${outcome} ${short(count)}`);
    console.log(`  ${times} ×: ${told.join(', ')}`);
    const unserved = runs[index].flatMap(({ seen }) => [...seen.kept.refused, ...seen.fresh.refused]);
    if (unserved.length > 0) console.log(`    the quiet ones: ${[...new Set(unserved)].join(', ')}`);
    const wrong = Object.keys(outcomes).filter((outcome) => !EXPECTED.includes(outcome));
    if (wrong.length > 0) throw new Error(`what no client should hear: ${wrong.join(', ')}`);
  }
  const [after, most] = [residentMiB(pid, 'VmRSS'), residentMiB(pid, 'VmHWM')];
  console.log(`  memory: ${short(before)} MiB before, ${short(after)} after, ${short(most)} at most`);
}

const FOR_SECONDS = FOR_MS / 1_000;
const EXPECTED = ['served', 'unsent', 'hellos', ...SHED];

/** What became of all requests of some reports. */
function tally(reports) {
  const outcomes = {};
  for (const report of reports) {
    for (const [outcome, count] of [...Object.entries(report.outcomes), ['unsent', report.unsent]])
      if (count > 0) outcomes[outcome] = (outcomes[outcome] ?? 0) + count;
  }
  return outcomes;
}

const sum = (list, of) => list.reduce((total, one) => total + of(one), 0);

function* split(bytes) {
  for (let at = 0; at < bytes.length; at += 64) yield bytes.subarray(at, at + 64);
}
