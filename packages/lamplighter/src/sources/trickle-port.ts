import path from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { TRICKLE_PORT } from '../wire/trickle.js';
import { lookAtDevice } from './device-file.js';

/** Where udev puts it. */
export const TRICKLE_DEVICE = `/dev/virtio-ports/${TRICKLE_PORT}`;

const PORTS = '/sys/class/virtio-ports';
/** A machine has some; a list without end is none. */
const MAX_PORTS = 512;

/** What a guest's line is. */
export interface TricklePort {
  readonly path: string;
  readonly form: 'character device' | 'unix socket';
}

/**
 * Finds a guest's line without opening it. Where udev's name for the port is missing (an initramfs, a container), the kernel's
 * own name is looked for in sysfs.
 * @throws LamplighterError ERR_SOURCE_ABSENT when this machine has none, ERR_DEVICE when it is something else
 */
export async function findTricklePort(
  device: string,
  environment: Pick<Environment, 'fs'>,
): Promise<TricklePort> {
  try {
    return await portAt(device, environment);
  } catch (error) {
    const isAbsent = error instanceof LamplighterError && error.code === 'ERR_SOURCE_ABSENT';
    if (!isAbsent || device !== TRICKLE_DEVICE) throw error;
    const found = await nameInKernel(environment);
    if (found === undefined) throw error;
    return portAt(found, environment);
  }
}

async function portAt(device: string, environment: Pick<Environment, 'fs'>): Promise<TricklePort> {
  const stats = await lookAtDevice(device, environment);
  if (stats.isCharacterDevice()) return { path: device, form: 'character device' };
  if (stats.isSocket()) return { path: device, form: 'unix socket' };
  throw new LamplighterError('ERR_DEVICE', `${device} is neither a character device nor a unix socket`, {
    hint: `name the virtio-serial port ${TRICKLE_PORT}`,
  });
}

async function nameInKernel({ fs }: Pick<Environment, 'fs'>): Promise<string | undefined> {
  const ports = await fs.readdir(PORTS).catch(() => []);
  for (const port of ports.slice(0, MAX_PORTS)) {
    const name = await fs.readFile(path.join(PORTS, port, 'name'), 'latin1').catch(() => '');
    if (name.trim() === TRICKLE_PORT) return path.join('/dev', port);
  }
  return undefined;
}
