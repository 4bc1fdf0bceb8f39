import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command, eventually, freePorts, listens } from '../processes.fixture.js';

/** Debian's pollen at work on 127.0.0.1. */
export interface PollenProcess {
  readonly http: number;
  readonly https: number;
  stop(): Promise<void>;
}

/**
 * For tests: starts Debian's pollen, a black box. It does not start without a syslog: it gets one of its own, in a mount namespace
 * of its own, so that nothing of this machine is touched.
 * @param files - PEM, its certificate and key
 */
export async function startPollen(files: { cert: string; key: string }): Promise<PollenProcess> {
  const folder = mkdtempSync(path.join(tmpdir(), 'lamplighter-pollen-'));
  const syslog = net.createServer((socket) => socket.on('error', () => undefined).resume());
  syslog.listen(path.join(folder, 'syslog'));
  await once(syslog, 'listening');
  const { http, https } = await freePorts('http', 'https');
  const pollen = ['pollen', '-http-port', String(http), '-https-port', String(https)];
  const withSyslog = ['sh', '-c', 'mount --bind "$1" /run && shift && exec "$@"', 'sh', folder];
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', ...withSyslog, ...pollen, '-cert', files.cert, '-key', files.key],
    { stdio: 'ignore' },
  );
  const started = async (port: number): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`pollen ended with ${child.exitCode}`);
    return await listens(port);
  };
  await eventually('pollen listens', async () => (await started(http)) && (await started(https)));
  return {
    http,
    https,
    async stop() {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
      syslog.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** For tests: starts a node of ours; `endAll` ends it. */
export function startNode(file: string): Command {
  return new Command(['node', '--config', file]);
}

/** How pollinate ended. */
export interface Pollinated {
  readonly code: number | null;
  /** What it would have written to the kernel. */
  readonly seed: Buffer;
}

/** Debian's pollinate, told to write what it got to us; it gives up after 3 s unless told. */
export async function pollinate(...args: readonly string[]): Promise<Pollinated> {
  const child: ChildProcess = spawn('pollinate', ['-t', '-b', '-w', '3', ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(child, 'close');
  return { code: child.exitCode, seed: Buffer.concat(chunks) };
}
