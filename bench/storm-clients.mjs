// A process of machines that all boot now: each asks for one beacon over a connection of its own, as the agent does, and again
// after the agent's back-off until it has one. Started by storm.mjs.
import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { backOffMs } from '../packages/lamplighter/dist/local/retry.js';
import { SHED } from './answers.mjs';
import { obey } from './crowd.mjs';
import { makeMachines } from './machines.mjs';
import { Prepared } from './prepared.mjs';
import { beaconRequest } from './relay.mjs';

/** The agent's defaults: agent/config.ts and agent/agent.ts. */
const DEADLINE_MS = 5_000;
const BACK_OFF = { minMs: 2_000, maxMs: 600_000 };
const environment = { runtimeRandom: (lengthBytes) => randomBytes(lengthBytes) };
/** Begun in one turn of this process's event loop, so that answers are heard between them. */
const BEGUN_A_TURN = 16;

let port = 0;
/** @type {import('./machines.mjs').Machine[]} */
let machines = [];
/** @type {Prepared[]} what each machine says first */
let prepared = [];

obey(
  ({ template, from, count, port: given }) => {
    machines = makeMachines(template, from, count);
    prepared = machines.map((machine) => new Prepared(machine.tls));
    port = given;
  },
  async ({ untilMs }) => {
    const begunMs = Date.now();
    const busy = process.cpuUsage();
    const tally = { outcomes: {}, waitedMs: [], tries: [], beacons: [], begunAfterMs: 0 };
    const booting = [];
    for (const [number, machine] of machines.entries()) {
      booting.push(boot(machine, prepared[number], begunMs, untilMs, tally));
      if (number % BEGUN_A_TURN === 0) await nextTurn();
    }
    tally.begunAfterMs = Date.now() - begunMs;
    await Promise.all(booting);
    const { user, system } = process.cpuUsage(busy);
    const busySeconds = (user + system) / 1e6;
    return { ...tally, beacons: Buffer.concat(tally.beacons), busySeconds };
  },
);

/** One machine, from its boot to its beacon. What it waits for this process counts as its own wait. */
async function boot({ localAddress, tls }, first, bootedMs, untilMs, tally) {
  let connection = first;
  for (let tries = 1; Date.now() < untilMs; tries += 1) {
    const request = beaconRequest(randomBytes(32));
    const answer = await connection.ask({ port, request, deadlineMs: DEADLINE_MS, localAddress });
    tally.outcomes[answer.outcome] = (tally.outcomes[answer.outcome] ?? 0) + 1;
    if (answer.beacon !== undefined) {
      tally.waitedMs.push(Date.now() - bootedMs);
      tally.tries.push(tries);
      tally.beacons.push(answer.beacon);
      return;
    }
    // A fault is not tried again: it ends the storm with a name.
    if (!SHED.includes(answer.outcome)) return;
    if (answer.isUsed) connection = new Prepared(tls);
    await sleep(Math.max(backOffMs(environment, tries, BACK_OFF), answer.retryAfterMs ?? 0));
  }
}
