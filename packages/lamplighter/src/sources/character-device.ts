import type { ChildProcess, StdioOptions } from 'node:child_process';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { findProgram, searchPath } from './find-program.js';

/**
 * A character device as a stream, both ways, through two children on pipes: a read that stays silent would hold a thread of ours
 * for ever, and Node takes no such descriptor as a socket (`ERR_INVALID_FD_TYPE`; tried with a virtio port).
 *
 * Both children hold the one opening of the device that is made here, for some devices can be opened once only. They end with us,
 * even when we are killed, and with the stream, which is closed when they are gone and the device is free. `end` lets what was
 * written go out first. It reads its end when the device does: a virtio port at once when nobody is at the host's end.
 *
 * Cost: `spawn` twice, which blocks the event loop for some 4 ms each.
 * @param file - opening it must not block: no serial port that waits for its carrier
 * @returns undefined when the device is in use (EBUSY)
 * @throws LamplighterError ERR_SOURCE_ABSENT when there is none; ERR_DEVICE, ERR_CHILD_FAILED
 */
export async function openCharacterDevice(
  file: string,
  environment: Pick<Environment, 'fs' | 'spawn'>,
): Promise<Duplex | undefined> {
  const cat = await program('cat', 'coreutils', environment);
  const setpriv = await program('setpriv', 'util-linux', environment);
  const device = await open(file, environment);
  if (device === undefined) return undefined;
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
    return streamOver(file, start([device.fd, 'pipe', 'ignore']), start(['pipe', device.fd, 'ignore']));
  } catch (cause) {
    endAll(children, () => undefined);
    throw new LamplighterError('ERR_CHILD_FAILED', `${file} could not be handed to a child`, { cause });
  } finally {
    await device.close();
  }
}

function streamOver(file: string, reader: ChildProcess, writer: ChildProcess): Duplex {
  const { stdout } = reader;
  const { stdin } = writer;
  if (stdout === null || stdin === null) throw new TypeError('a child has pipes');
  const stream = new Duplex({
    read: () => void stdout.resume(),
    write: (chunk: Uint8Array, _encoding, done) => void stdin.write(chunk, done),
    final: (done) => {
      writer.once('exit', () => done());
      stdin.end();
    },
    destroy: (error, done) => endAll([reader, writer], () => done(error)),
  });
  stdout.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) stdout.pause();
  });
  stdout.once('end', () => void stream.push(null));
  for (const pipe of [stdout, stdin]) pipe.on('error', () => undefined);
  const failed = (cause?: Error): void => {
    const text = `${file} was let go of by the child that held it`;
    stream.destroy(new LamplighterError('ERR_CHILD_FAILED', text, { cause }));
  };
  for (const child of [reader, writer]) child.once('error', failed);
  reader.once('exit', (code) => code !== 0 && failed());
  writer.once('exit', () => !stream.writableEnded && failed());
  return stream;
}

async function open(file: string, { fs }: Pick<Environment, 'fs'>): Promise<FileHandle | undefined> {
  let device: FileHandle | undefined;
  try {
    device = await fs.open(file, constants.O_RDWR | constants.O_NOCTTY);
    if ((await device.stat()).isCharacterDevice()) return device;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    if (code === 'EBUSY') return undefined;
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO')
      throw new LamplighterError('ERR_SOURCE_ABSENT', `there is no ${file}`, { cause });
    throw new LamplighterError('ERR_DEVICE', `${file} cannot be opened (${code})`, {
      hint: 'only root may, unless its mode is changed',
      cause,
    });
  }
  await device.close();
  throw new LamplighterError('ERR_DEVICE', `${file} is no character device`);
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
