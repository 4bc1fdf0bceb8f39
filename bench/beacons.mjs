// Beacons a second, over TLS 1.3 keep-alive and one a connection, beside bare node:https servers and pollen. Each server
// has one core to itself, the clients the other; rivals take turns, so that a busy machine is busy for all.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { isWanted, median, rounds, short, table } from './figures.mjs';
import { freshConnections, keepAlive } from './load.mjs';
import {
  freePort,
  newerNode,
  pinThisProcess,
  processorSeconds,
  startServer,
  versionOf,
} from './processes.mjs';
import { startPollen } from './pollen.mjs';
import { beaconRequest, machineTls, makeFolder, startRelay } from './relay.mjs';

const ROUNDS = rounds(11);
const ROUND_MS = 400;
/** Node compiles what was called often enough. */
const WARM_UP = [
  { load: keepAlive, answers: 15_000 },
  { load: freshConnections, answers: 800 },
];
const WARM_UP_SLICE_MS = 250;
const WARM_UP_MS = 10_000;
const CONNECTIONS = 16;
/** What `rival-https.mjs` can be. The one we are compared to first. */
const BARE = { reads: 'bare node:https', blind: 'bare, request unread' };
const RIVAL = fileURLToPath(new URL('rival-https.mjs', import.meta.url));
/** What is promised: of the bare server's both rates, and of pollen's over keep-alive TLS. */
const GOALS = { bare: 0.85, pollen: 1 };

/**
 * @typedef {object} Contestant
 * @property {string} name
 * @property {number} pid
 * @property {import('./load.mjs').Target} target
 * @property {number} [bare] the place of the bare server on the same Node that reads what it is sent: what a relay is compared to;
 *   the blind one stands behind it
 */

export async function run() {
  pinThisProcess();
  const closing = [];
  try {
    /** @type {Contestant[]} */
    const contestants = [];
    for (const node of [process.execPath, newerNode()]) {
      if (node !== undefined) contestants.push(...(await startNodes(node, contestants.length, closing)));
    }
    const pollen = contestants.length;
    contestants.push(...(await startPollens(closing)));
    for (const { name, target } of contestants) await warmUp(name, target);
    if (isWanted('keepAlive')) await compare('keep-alive', keepAlive, contestants, pollen);
    if (isWanted('connections')) await compare('new connections', freshConnections, contestants, pollen);
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

/** A relay and the bare servers beside it, on the same Node. @returns {Promise<Contestant[]>} */
async function startNodes(node, place, closing) {
  const folder = await makeFolder();
  closing.push(() => folder.remove());
  const version = versionOf(node);
  const target = { tls: contextOf(folder), request: beaconRequest(randomBytes(32)) };
  const relay = await startRelay(folder, node);
  closing.push(relay.stop);
  const files = ['ca.pem', 'relay.pem', 'relay.key'].map(folder.file);
  const bare = [];
  for (const [kind, name] of Object.entries(BARE)) {
    const port = await freePort();
    const command = [node, RIVAL, String(port), ...files, kind];
    const { pid, stop } = await startServer(command, { port, log: folder.file(`${kind}.log`) });
    closing.push(stop);
    bare.push({ name: `${name}, node ${version}`, pid, target: { ...target, port } });
  }
  return [
    {
      name: `lamplighter, node ${version}`,
      pid: relay.pid,
      target: { ...target, port: folder.port },
      bare: place + 1,
    },
    ...bare,
  ];
}

/** @returns {Promise<Contestant[]>} over TLS first; none when pollen cannot be had */
async function startPollens(closing) {
  const folder = await makeFolder();
  closing.push(() => folder.remove());
  const pollen = await startPollen(folder.file);
  if (pollen === undefined) return [];
  closing.push(pollen.stop);
  const { pid, plain, secure } = pollen;
  const request = Buffer.from('GET /?challenge=0123456789abcdef HTTP/1.1\r\nhost: localhost\r\n\r\n');
  return [
    {
      name: 'pollen, no client certificate',
      pid,
      target: { port: secure, tls: contextOf(folder), request },
    },
    { name: 'pollen, plain HTTP', pid, target: { port: plain, request } },
  ];
}

const contextOf = ({ file }) => tls.createSecureContext({ ...machineTls(file), minVersion: 'TLSv1.3' });

/** What is hot is compiled, and a node just started is seeded. */
async function warmUp(name, target) {
  for (const { load, answers } of WARM_UP) {
    const deadline = performance.now() + WARM_UP_MS;
    for (let done = 0; done < answers && performance.now() < deadline;) {
      try {
        done += await load(target, { connections: CONNECTIONS, forMs: WARM_UP_SLICE_MS });
      } catch (cause) {
        if (performance.now() > deadline) throw new Error(`${name} does not answer`, { cause });
        await sleep(WARM_UP_SLICE_MS);
      }
    }
  }
}

/**
 * Both are shown: what the server's processor spent on an answer, and the rate. A rival may be too quick for the clients; its
 * core then waits, and only the first of the two compares.
 * @param {Contestant[]} contestants
 * @param {number} pollen the place of pollen over TLS, if it is there
 */
async function compare(what, load, contestants, pollen) {
  const runs = contestants.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, { pid, target }] of contestants.entries())
      runs[index].push(await measure(load, pid, target));
  }
  const middle = (index, of) => median(runs[index].map(of));
  /** How much better than another, round by round: of rates ours to its, of times its to ours. */
  const ratio = (index, other, of) =>
    other === undefined || runs[other] === undefined
      ? Number.NaN
      : median(runs[index].map((one, round) => of(one, runs[other][round])));
  const byRate = (one, other) => rate(one) / rate(other);
  const byTime = (one, other) => busyEach(other) / busyEach(one);
  const cell = (number) => (Number.isFinite(number) ? number.toFixed(2) : '-');

  table([
    [what, 'a second', 'busy', 'µs each', 'rate to bare', 'time', 'to blind', 'time', 'to pollen', 'time'],
    ...contestants.map(({ name, bare }, index) => [
      name,
      short(middle(index, rate)),
      `${Math.round(100 * middle(index, ({ busySeconds, seconds }) => busySeconds / seconds))} %`,
      short(1e6 * middle(index, busyEach)),
      cell(ratio(index, bare, byRate)),
      cell(ratio(index, bare, byTime)),
      cell(ratio(index, blindOf(bare), byRate)),
      cell(ratio(index, blindOf(bare), byTime)),
      cell(index < pollen ? ratio(index, pollen, byRate) : Number.NaN),
      cell(index < pollen ? ratio(index, pollen, byTime) : Number.NaN),
    ]),
  ]);
  for (const [index, { name, bare }] of contestants.entries()) {
    if (bare === undefined) continue;
    judge(name, 'bare node:https', ratio(index, bare, byRate), GOALS.bare);
    if (load === keepAlive) judge(name, 'pollen over TLS', ratio(index, pollen, byRate), GOALS.pollen);
  }
}

const blindOf = (bare) => (bare === undefined ? undefined : bare + 1);

function judge(name, rival, ratio, goal) {
  if (Number.isNaN(ratio)) return;
  const verdict = ratio >= goal ? 'met' : 'MISSED';
  console.log(`  goal ${verdict}: ${name} at ${ratio.toFixed(2)} × ${rival}, promised ${goal.toFixed(2)}`);
}

const rate = ({ answers, seconds }) => answers / seconds;
const busyEach = ({ answers, busySeconds }) => busySeconds / answers;

async function measure(load, pid, target) {
  let startMs = 0;
  let startBusy = 0;
  const onReady = () => ([startMs, startBusy] = [performance.now(), processorSeconds(pid)]);
  const answers = await load(target, { connections: CONNECTIONS, forMs: ROUND_MS, onReady });
  return {
    answers,
    seconds: (performance.now() - startMs) / 1_000,
    busySeconds: processorSeconds(pid) - startBusy,
  };
}
