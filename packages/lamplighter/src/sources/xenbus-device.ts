import type { ChildProcess, StdioOptions } from 'node:child_process';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { findProgram, searchPath } from './find-program.js';

/**
 * A guest's way to xenstored, the character device /dev/xen/xenbus, as a stream: what is written to it and read from it goes
 * through two children on pipes, for a read that stays silent would hold a thread of ours for ever.
 *
 * Both children hold the one opening of the device that we made: the kernel answers each opening by itself. They end with us, and
 * with the stream: it is closed when they are gone. The kernel takes one request in one write and loses a second (Linux,
 * drivers/xen/xenbus/xenbus_dev_frontend.c): whoever writes waits for each answer.
 * @throws LamplighterError ERR_SOURCE_ABSENT when there is no such device; ERR_DEVICE, ERR_CHILD_FAILED
 */
export async function openXenbus(
  file: string,
  environment: Pick<Environment, 'fs' | 'spawn'>,
): Promise<Duplex> {
  const cat = await program('cat', 'coreutils', environment);
  const setpriv = await program('setpriv', 'util-linux', environment);
  const device = await open(file, environment);
  const children: ChildProcess[] = [];
  try {
    const start = (stdio: StdioOptions): ChildProcess => {
      const child = environment.spawn(setpriv, ['--pdeathsig', 'KILL', '--no-new-privs', '--', cat], {
        cwd: '/',
        env: { PATH: searchPath() },
        stdio,
        detached: true,
      });
      children.push(child);
      return child;
    };
    const { stdout } = start([device.fd, 'pipe', 'ignore']);
    const { stdin } = start(['pipe', device.fd, 'ignore']);
    if (stdout === null || stdin === null) throw new TypeError('a child has pipes');
    const stream = new Duplex({
      read: () => void stdout.resume(),
      write: (chunk: Uint8Array, _encoding, done) => void stdin.write(chunk, done),
      destroy: (error, done) => endAll(children, () => done(error)),
    });
    stdout.on('data', (chunk: Buffer) => {
      if (!stream.push(chunk)) stdout.pause();
    });
    for (const pipe of [stdout, stdin]) pipe.on('error', () => undefined);
    for (const child of children) {
      child.once('error', (cause) => stream.destroy(gone(file, cause)));
      child.once('exit', () => stream.destroy(gone(file)));
    }
    return stream;
  } catch (cause) {
    endAll(children, () => undefined);
    throw new LamplighterError('ERR_CHILD_FAILED', `${file} could not be handed to a child`, { cause });
  } finally {
    await device.close();
  }
}

async function open(file: string, { fs }: Pick<Environment, 'fs'>): Promise<FileHandle> {
  let device: FileHandle | undefined;
  try {
    device = await fs.open(file, constants.O_RDWR | constants.O_NOCTTY);
    if ((await device.stat()).isCharacterDevice()) return device;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO') {
      throw new LamplighterError('ERR_SOURCE_ABSENT', `there is no ${file}`, {
        hint: 'this is no Xen guest, or its kernel has no xenbus frontend',
        cause,
      });
    }
    throw new LamplighterError('ERR_DEVICE', `${file} cannot be opened (${code})`, {
      hint: 'only root may, unless its mode is changed',
      cause,
    });
  }
  await device.close();
  throw new LamplighterError('ERR_DEVICE', `${file} is no character device`, {
    hint: 'name xenbus’s device, or unix:/path',
  });
}

async function program(
  name: string,
  packageName: string,
  environment: Pick<Environment, 'fs'>,
): Promise<string> {
  const file = await findProgram(name, environment);
  if (file !== undefined) return file;
  throw new LamplighterError('ERR_CHILD_FAILED', `there is no program ${name} that we may run`, {
    hint: `apt-get install ${packageName}`,
  });
}

/** Ends children and tells when they are gone. One that could not be started has no number and no end. */
function endAll(children: readonly ChildProcess[], whenGone: () => void): void {
  const alive = children.filter(
    ({ pid, exitCode, signalCode }) => pid !== undefined && exitCode === null && signalCode === null,
  );
  let left = alive.length;
  if (left === 0) whenGone();
  for (const child of alive) {
    child.once('exit', () => {
      left -= 1;
      if (left === 0) whenGone();
    });
    child.stdout?.destroy();
    child.stdin?.destroy();
    child.kill('SIGKILL');
  }
}

function gone(file: string, cause?: Error): LamplighterError {
  return new LamplighterError('ERR_UPSTREAM_UNREACHABLE', `${file} was let go of by the child that held it`, {
    cause,
  });
}
