import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { openCharacterDevice } from './character-device.js';

/**
 * A guest's way to xenstored, the character device /dev/xen/xenbus, as a stream. The kernel answers each opening by itself. It takes
 * one request in one write and loses a second (Linux, drivers/xen/xenbus/xenbus_dev_frontend.c): whoever writes waits for each answer.
 * @throws LamplighterError ERR_SOURCE_ABSENT when there is no such device; ERR_DEVICE, ERR_CHILD_FAILED
 */
export async function openXenbus(
  file: string,
  environment: Pick<Environment, 'fs' | 'spawn'>,
): Promise<Duplex> {
  const stream = await openCharacterDevice(file, environment);
  if (stream !== undefined) return stream;
  throw new LamplighterError('ERR_DEVICE', `${file} is in use`, {
    hint: 'name xenbus’s device, which many may open, or unix:/path',
  });
}
