// A boot storm: machines that have never been seen before, each with a key and a certificate of its own, all at once. Each
// wants one beacon over mutual TLS and goes on asking, as the agent does, until it has it.
import { SHED } from './answers.mjs';
import { startCrowd } from './crowd.mjs';
import { percentile, short, table } from './figures.mjs';
import { machineTemplate, makeMachines } from './machines.mjs';
import { beImportant, pinThisProcess, processorSeconds, residentMiB } from './processes.mjs';
import { startProbe } from './probe.mjs';
import { makeFolder, startRelay } from './relay.mjs';

const MACHINES = process.env.LAMPLIGHTER_FULL === undefined ? 500 : 20_000;
const CROWDS = 4;
const NOT_LONGER_THAN_MS = 900_000;
const CLIENTS = new URL('storm-clients.mjs', import.meta.url);

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
    const count = MACHINES / CROWDS;
    const crowds = [];
    for (let crowd = 0; crowd < CROWDS; crowd += 1) {
      const started = await startCrowd(CLIENTS, { template, port, from: crowd * count, count });
      closing.push(() => started.stop());
      crowds.push(started);
    }
    const quiet = makeMachines(template, MACHINES, 2);
    beImportant();
    const before = residentMiB(relay.pid, 'VmRSS');
    const probing = await startProbe({ port, adminPort, machines: quiet });
    const busyBefore = processorSeconds(relay.pid);
    const beganMs = performance.now();
    const untilMs = Date.now() + NOT_LONGER_THAN_MS;
    const reports = await Promise.all(crowds.map((crowd) => crowd.tell({ untilMs })));
    const seconds = (performance.now() - beganMs) / 1_000;
    const busySeconds = processorSeconds(relay.pid) - busyBefore;
    const seen = await probing.stop();
    show(reports, seen, { seconds, busySeconds });
    const [after, most] = [residentMiB(relay.pid, 'VmRSS'), residentMiB(relay.pid, 'VmHWM')];
    console.log(
      `  memory of the relay: ${short(before)} MiB before, ${short(after)} after, ${short(most)} at most`,
    );
    judge(reports, seen);
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

function show(reports, { health, fresh }, { seconds, busySeconds }) {
  const waitedMs = reports.flatMap((report) => report.waitedMs);
  const tries = reports.flatMap((report) => report.tries);
  const wait = (share) => `${short(percentile(waitedMs, share) / 1_000)} s`;
  const clientsBusy = reports.reduce((sum, report) => sum + report.busySeconds, 0) / seconds;
  table([
    ['machines', 'all served after', 'p50', 'p99', 'the last', 'tries p50', 'p99', 'most'],
    [
      short(MACHINES),
      `${short(seconds)} s`,
      wait(0.5),
      wait(0.99),
      wait(1),
      ...[0.5, 0.99, 1].map((share) => short(percentile(tries, share))),
    ],
  ]);
  const begun = Math.max(...reports.map(({ begunAfterMs }) => begunAfterMs)) / 1_000;
  console.log(
    `  all had begun after ${short(begun)} s; core of the relay busy ${percent(busySeconds / seconds)}, of`,
  );
  console.log(`  the machines ${percent(clientsBusy)}; connections: ${told(reports)}`);
  console.log(
    `  meanwhile: a machine that asks every second ${fresh.latenciesMs.length} of ${fresh.asked}; ` +
      `/healthz ${health.latenciesMs.length} of ${health.asked}, ` +
      `p50 ${short(percentile(health.latenciesMs, 0.5))} ms, p99 ${short(percentile(health.latenciesMs, 0.99))} ms`,
  );
}

/** Everybody has a beacon, nobody has another's, and nothing else went wrong. */
function judge(reports, seen) {
  const beacons = [...seen.beacons, ...reports.flatMap((report) => [...split(report.beacons)])];
  const served = beacons.length - seen.beacons.length;
  const distinct = new Set(beacons.map((beacon) => beacon.toString('latin1'))).size;
  const wrong = outcomesOf(reports).filter(([outcome]) => outcome !== 'served' && !SHED.includes(outcome));
  const errors = wrong.reduce((sum, [, count]) => sum + count, 0);
  console.log(`  ${short(served)} beacons, ${beacons.length - distinct} twice; ${errors} errors`);
  if (wrong.length > 0)
    throw new Error(`what no machine should hear: ${wrong.map(([one]) => one).join(', ')}`);
  if (distinct !== beacons.length) throw new Error('a beacon was given out twice');
  if (served !== MACHINES) throw new Error(`${MACHINES - served} machines have no beacon`);
}

function outcomesOf(reports) {
  const counts = new Map();
  for (const [outcome, count] of reports.flatMap(({ outcomes }) => Object.entries(outcomes)))
    counts.set(outcome, (counts.get(outcome) ?? 0) + count);
  return [...counts];
}

const told = (reports) =>
  outcomesOf(reports)
    .map(([outcome, count]) => `${outcome} ${short(count)}`)
    .join(', ');
const percent = (share) => `${Math.round(100 * share)} %`;

function* split(bytes) {
  for (let at = 0; at < bytes.length; at += 64) yield bytes.subarray(at, at + 64);
}
