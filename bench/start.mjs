// How long a person and a machine wait, and what it takes in memory. Rivals take turns.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { median, short, table } from './figures.mjs';
import { isInstalled, LAMPLIGHTER, residentMiB } from './processes.mjs';
import { startPollen } from './pollen.mjs';
import { makeFolder, startRelay } from './relay.mjs';

const ROUNDS = 10;
const UP_ROUNDS = 3;
/** The node's memory is looked at when it is this old. */
const NODE_AGE_MS = 30_000;

export async function run() {
  await runUp();
  await runAgent();
}

/** From the command to a seeded kernel, the whole chain started: from nothing, and from the files of the time before. */
async function runUp() {
  const fromNothing = [];
  const fromFiles = [];
  for (let round = 0; round < UP_ROUNDS; round += 1) {
    const state = mkdtempSync(join(tmpdir(), 'lamplighter-bench-'));
    const command = [process.execPath, LAMPLIGHTER, 'up', '--once', '--json', '--state', state];
    fromNothing.push((await timed(command)).ms);
    fromFiles.push((await timed(command)).ms);
    rmSync(state, { recursive: true, force: true });
  }
  table([
    ['up --once', 'ms'],
    ['from an empty folder', short(median(fromNothing))],
    ['from an existing one', short(median(fromFiles))],
  ]);
}

async function runAgent() {
  const folder = await makeFolder();
  const servers = [];
  try {
    const relay = await startRelay(folder);
    const relayStartedMs = performance.now();
    servers.push(relay);
    const agent = [process.execPath, LAMPLIGHTER, 'agent', '--once', '--config', folder.file('agent.yaml')];
    const contestants = [
      { name: 'lamplighter agent --once', command: agent },
      { name: 'node -e 0', command: [process.execPath, '-e', '0'] },
    ];
    const pollinate = await startPollinate(folder.file, servers);
    if (pollinate !== undefined) contestants.push(pollinate);

    const runs = contestants.map(() => []);
    for (let round = -1; round < ROUNDS; round += 1) {
      for (const [index, { command }] of contestants.entries()) {
        const one = await timed(command);
        if (round >= 0) runs[index].push(one); // the first round fills the page cache
      }
    }
    table([
      ['one run', 'ms', 'peak MiB'],
      ...contestants.map(({ name }, index) => [
        name,
        short(median(runs[index].map(({ ms }) => ms))),
        short(median(runs[index].map(({ peakMiB }) => peakMiB))),
      ]),
    ]);
    await sleep(Math.max(0, NODE_AGE_MS - (performance.now() - relayStartedMs)));
    table([
      ['memory', 'MiB'],
      [`node (relay) after ${NODE_AGE_MS / 1_000} s`, short(residentMiB(relay.pid, 'VmRSS'))],
    ]);
  } finally {
    for (const server of servers) await server.stop();
    folder.remove();
  }
}

async function startPollinate(file, servers) {
  if (!isInstalled('pollinate')) {
    console.log('  skipped: pollinate is not installed (apt-get install pollinate)');
    return undefined;
  }
  const pollen = await startPollen(file);
  if (pollen === undefined) return undefined;
  servers.push(pollen);
  const curl = `--cacert ${file('ca.pem')} --capath /dev/null --tlsv1.3`;
  const quietly = '-t -b --strict -w 3'.split(' ');
  const command = ['pollinate', ...quietly, '-s', `https://127.0.0.1:${pollen.secure}/`, '-c', curl];
  return { name: 'pollinate (of its memory, the shell alone)', command };
}

/** Runs a command to its end. @param {string[]} command @returns wall time, and the most memory its process had */
async function timed([command, ...args]) {
  const startMs = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  let peakMiB = 0;
  const looking = setInterval(() => {
    // Once it has ended there is nothing left to read.
    try {
      peakMiB = residentMiB(child.pid, 'VmHWM') || peakMiB;
    } catch {}
  }, 5);
  const [code] = await once(child, 'exit');
  const ms = performance.now() - startMs;
  clearInterval(looking);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${said}`);
  return { ms, peakMiB };
}
