import { close, constants, fstat, open } from 'node:fs';
import net from 'node:net';
import { promisify } from 'node:util';
import { LamplighterError } from '@lamplighter/core';
import { type Attempt, gone } from './attempt.js';
import { hearStream } from './hearing.js';

// A socket takes over a bare descriptor, which the promises of Environment.fs never give away.
const openDescriptor = promisify(open);
const statDescriptor = promisify(fstat);
const closeDescriptor = promisify(close);

/**
 * Hears a FIFO until its last writer has gone. It is polled like a socket: a read that waits would hold a thread.
 *
 * Opened without waiting for a writer, and not a step further if it is no FIFO any more.
 * @throws LamplighterError when it is not there, or may not be read
 */
export async function hearFifo(path: string, attempt: Attempt): Promise<void> {
  const { door, signal, environment } = attempt;
  let descriptor: number;
  try {
    descriptor = await door.run(() => openFifo(path), signal, closeDescriptor);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof LamplighterError ? error : gone(path, error);
  }
  const socket = new net.Socket({ fd: descriptor, readable: true, writable: false });
  await hearStream(socket, attempt.hear, signal, environment);
}

async function openFifo(path: string): Promise<number> {
  const descriptor = await openDescriptor(
    path,
    constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
  );
  if ((await statDescriptor(descriptor)).isFIFO()) return descriptor;
  await closeDescriptor(descriptor);
  throw new LamplighterError('ERR_PROCESS_GONE', `${path} was replaced by something else`);
}
