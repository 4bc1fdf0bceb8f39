// A process of machines that ask at a given rate, whether or not they are answered. Started by overload.mjs.
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { AnswerReader, askOnce } from './answers.mjs';
import { obey } from './crowd.mjs';
import { makeMachines } from './machines.mjs';
import { beaconRequest } from './relay.mjs';

/** An agent's own deadline. */
const DEADLINE_MS = 5_000;
const TICK_MS = 5;
/** Requests ahead of their answers on one connection: half of what gets it closed. */
const MAX_AHEAD = 4;
/** Who begins handshakes and never goes on with them. */
const HOSTILE_ADDRESS = '127.0.0.66';

const request = beaconRequest(randomBytes(32));
let port = 0;
/** @type {import('./machines.mjs').Machine[]} */
let machines = [];

/** Connections that stay, one a machine. */
let lines = [];

const loads = { connections, openLines, steady, keepAlive, hellos };

obey(
  ({ template, from, count, port: given }) => {
    machines = makeMachines(template, from, count);
    port = given;
  },
  async ({ load, rate, forMs }) => {
    const busy = process.cpuUsage();
    const begunMs = performance.now();
    const untilMs = begunMs + forMs;
    const tally = { offered: 0, unsent: 0, inTime: 0, untilMs, outcomes: {}, latenciesMs: [], beacons: [] };
    await loads[load](tally, rate, forMs);
    const { user, system } = process.cpuUsage(busy);
    return {
      ...tally,
      beacons: Buffer.concat(tally.beacons),
      busySeconds: (user + system) / 1e6,
      seconds: (performance.now() - begunMs) / 1_000,
    };
  },
);

/** A new connection for every request. What had to wait for this process is waited for by its machine: it counts. */
async function connections(tally, rate, forMs) {
  const asked = [];
  await atRate(rate, forMs, (dueMs, number) => {
    tally.offered += 1;
    const ask = askOnce({ port, request, deadlineMs: DEADLINE_MS, ...machines[number % machines.length] });
    asked.push(ask.then((answer) => note(tally, answer, dueMs)));
  });
  await Promise.all(asked);
}

async function openLines() {
  lines = await Promise.all(machines.map((machine) => openLine(machine)));
}

/** Over connections that stay: each asks again when it is answered, so that nobody asks for more than there is. */
async function steady(tally, _rate, forMs) {
  const untilMs = performance.now() + forMs;
  const again = (line) => {
    const askedMs = performance.now();
    if (askedMs > untilMs) return;
    tally.offered += 1;
    line.ask((answer) => {
      note(tally, answer, askedMs);
      again(line);
    });
  };
  for (const line of lines) again(line);
  await sleep(forMs);
  while (lines.some((line) => line.isWaiting())) await sleep(TICK_MS);
}

/** Over connections that stay. A request for which there is no room on its connection is not sent, and counted. */
async function keepAlive(tally, rate, forMs) {
  await atRate(rate, forMs, (dueMs, number) => {
    tally.offered += 1;
    if (!lines[number % lines.length].ask((answer) => note(tally, answer, dueMs))) tally.unsent += 1;
  });
  while (lines.some((line) => line.isWaiting())) await sleep(TICK_MS);
}

/** Opens a connection, and another one whenever it is closed: its requests are then answered with `reset`. */
async function openLine({ localAddress, tls: secureContext }) {
  let waiting = [];
  let socket;
  const open = () =>
    new Promise((resolve) => {
      const raw = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
      const opened = tls.connect({ socket: raw, secureContext, checkServerIdentity: () => undefined });
      const answers = new AnswerReader((answer) => waiting.shift()(answer));
      opened.once('secureConnect', () => resolve((socket = opened)));
      opened.on('data', (chunk) => answers.feed(chunk)).on('error', () => {});
      opened.setTimeout(DEADLINE_MS, () => waiting.length > 0 && raw.destroy());
      raw
        .on('error', () => {})
        .on('close', () => {
          opened.destroy();
          socket = undefined;
          for (const answer of waiting) answer({ outcome: 'reset' });
          waiting = [];
          setTimeout(() => void open().then(resolve), 100);
        });
    });
  await open();
  return {
    isWaiting: () => waiting.length > 0,
    /** @returns {boolean} whether it was sent */
    ask(onAnswer) {
      if (socket === undefined || waiting.length >= MAX_AHEAD) return false;
      waiting.push(onAnswer);
      socket.write(request);
      return true;
    },
  };
}

/** From one address: the first bytes of a handshake, and nothing more. */
async function hellos(tally, rate, forMs) {
  const hello = await recordHello();
  const ended = [];
  await atRate(rate, forMs, () => {
    tally.offered += 1;
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: HOSTILE_ADDRESS, noDelay: true });
    socket.on('error', () => {}).resume();
    socket.setTimeout(DEADLINE_MS, () => socket.destroy());
    socket.write(hello);
    ended.push(new Promise((resolve) => socket.on('close', resolve)));
  });
  await Promise.all(ended);
  tally.outcomes['hellos'] = tally.offered;
}

/** @returns {Promise<Buffer>} what a client of ours says first */
function recordHello() {
  return new Promise((resolve) => {
    const carrier = new Duplex({ read() {}, write: (chunk) => resolve(chunk) });
    tls.connect({ socket: carrier, secureContext: machines[0].tls }).on('error', () => {});
  });
}

/** Calls with the moment each is due, as many as are due, until the time is over. */
async function atRate(rate, forMs, each) {
  const beganMs = performance.now();
  let done = 0;
  for (let passedMs = 0; passedMs < forMs; passedMs = performance.now() - beganMs) {
    for (const due = Math.min(forMs, passedMs) * (rate / 1_000); done < due; done += 1) {
      each(beganMs + (done / rate) * 1_000, done);
    }
    await sleep(TICK_MS);
  }
}

function note(tally, { outcome, beacon }, dueMs) {
  tally.outcomes[outcome] = (tally.outcomes[outcome] ?? 0) + 1;
  if (beacon === undefined) return;
  const nowMs = performance.now();
  // What is served afterwards was served while nobody asked any more.
  if (nowMs <= tally.untilMs) tally.inTime += 1;
  tally.latenciesMs.push(nowMs - dueMs);
  tally.beacons.push(beacon);
}
