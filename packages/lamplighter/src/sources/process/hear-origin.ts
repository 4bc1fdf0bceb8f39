import { constants, type Stats } from 'node:fs';
import { LamplighterError } from '@lamplighter/core';
import type { Endpoint, Environment } from '../../local/environment.js';
import { ENDED } from '../../local/retry.js';
import { type Attempt, type OriginForm, gone } from './attempt.js';
import { hearFifo } from './fifo.js';
import { hearStream } from './hearing.js';
import type { Origin } from './origin.js';
import { hearProgram } from './program.js';

/**
 * Hears one origin until it falls silent for good.
 * @returns {@link ENDED} when it had an end and reached it
 * @throws LamplighterError for every fault; nothing of the attempt is left then
 */
export async function hearOrigin(origin: Origin, attempt: Attempt): Promise<typeof ENDED> {
  switch (origin.kind) {
    case 'command':
      attempt.onForm('command');
      return hearCommand(origin, attempt);
    case 'unix':
      return hearSocket({ path: origin.path }, 'unix socket', origin.shown, attempt);
    case 'tcp':
      return hearSocket({ host: origin.host, port: origin.port }, 'tcp socket', origin.shown, attempt);
    case 'path':
      return hearPath(origin.path, attempt);
  }
}

async function hearCommand(
  { program, args, once, shown }: Origin & { kind: 'command' },
  attempt: Attempt,
): Promise<typeof ENDED> {
  const { how, heardBytes, said } = await hearProgram(program, args, attempt);
  if (once && how === 'code 0' && heardBytes > 0) return ENDED;
  throw new LamplighterError('ERR_CHILD_EXITED', `${shown} ended (${how})${said}`, {
    hint: 'run it by hand: it must speak on stdout until it is stopped',
  });
}

async function hearPath(path: string, attempt: Attempt): Promise<typeof ENDED> {
  const { door, environment, signal } = attempt;
  let stats: Stats;
  try {
    // Links are followed: udev's stable names for serial ports are links.
    stats = await door.run(() => environment.fs.stat(path), signal);
  } catch (error) {
    signal.throwIfAborted();
    throw gone(path, error);
  }
  if (stats.isFIFO()) {
    attempt.onForm('fifo');
    await hearFifo(path, attempt);
    throw new LamplighterError('ERR_PROCESS_GONE', `the last writer of ${path} has gone`);
  }
  if (stats.isSocket()) return hearSocket({ path }, 'unix socket', path, attempt);
  if (!stats.isCharacterDevice() && !stats.isFile()) {
    throw new LamplighterError('ERR_PROCESS_REFUSED', `${path} is nothing that speaks`, {
      hint: 'name a FIFO, a character device, a unix socket or a regular file',
    });
  }
  return hearByCat(path, stats.isFile() ? 'regular file' : 'character device', attempt);
}

/**
 * Opened and read by `cat`, because both may hang: a device says nothing, opening a serial port waits for its carrier, a file may
 * be on a dead network share, and some that look regular (/proc/kmsg) are not.
 */
async function hearByCat(
  path: string,
  form: 'character device' | 'regular file',
  attempt: Attempt,
): Promise<typeof ENDED> {
  attempt.onForm(form);
  await attempt.door.run(() => mustBeReadable(path, attempt.environment), attempt.signal);
  const { how, heardBytes, said } = await hearProgram('cat', ['--', path], attempt);
  if (form === 'regular file') {
    if (how === 'code 0' && heardBytes > 0) return ENDED;
    throw new LamplighterError('ERR_PROCESS_GONE', `${path} is empty or cannot be read to its end${said}`);
  }
  throw new LamplighterError('ERR_PROCESS_GONE', `${path} has nothing more to say${said}`, {
    hint: 'is it plugged in, and does nobody else read it',
  });
}

async function hearSocket(
  endpoint: Endpoint,
  form: OriginForm,
  shown: string,
  { hear, onForm, signal, environment }: Attempt,
): Promise<never> {
  onForm(form);
  const socket = environment.connect(endpoint);
  try {
    await hearStream(socket, hear, signal, environment);
  } catch (error) {
    signal.throwIfAborted();
    throw gone(shown, error);
  }
  throw new LamplighterError('ERR_PROCESS_GONE', `${shown} closed the connection`);
}

async function mustBeReadable(path: string, environment: Environment): Promise<void> {
  try {
    await environment.fs.access(path, constants.R_OK);
  } catch (error) {
    throw gone(path, error);
  }
}
