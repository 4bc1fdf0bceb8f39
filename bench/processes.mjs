// The programs under test: each a process of its own, on a core of its own.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Servers run here, and nothing else does. */
export const SERVER_CORE = 0;
/** Clients, and this process. */
export const CLIENT_CORE = 1;

export const LAMPLIGHTER = fileURLToPath(
  new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url),
);

/** Whether a command is installed. @param {string} command */
export const isInstalled = (command) => spawnSync('which', [command]).status === 0;

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
  const ended = once(child, 'exit');
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
