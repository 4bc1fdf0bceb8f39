import path from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { openCharacterDevice } from '../sources/character-device.js';
import { connectCarrier } from '../wire/carrier-client.js';
import type { OutgoingConnections } from '../wire/outgoing.js';
import type { Upstream } from '../wire/upstream.js';
import { isThere } from '../local/is-there.js';

/** The part of a relay's configuration that says how to get there. */
export interface RelayAddress {
  readonly url: string;
  readonly peer?: string | undefined;
  /** A virtio-serial port, instead of the network. */
  readonly device?: string | undefined;
}

/**
 * How a relay is reached, and what name its certificate must carry: over TCP, or over a virtio-serial port, where no address
 * says who answers: there the name is the URL's host, unless `peer` gives another.
 */
export function wayTo(
  { url, peer, device }: RelayAddress,
  { environment, outgoing }: { environment: Environment; outgoing: OutgoingConnections },
): Pick<Upstream, 'connect' | 'name'> {
  if (device === undefined) {
    return {
      connect: (endpoint) => outgoing.connect(endpoint),
      ...(peer !== undefined && { name: peer }),
    };
  }
  const open = async () => openCharacterDevice(await findVirtioPort(device, environment), environment);
  return {
    connect: () => outgoing.keep(() => connectCarrier({ where: device, open, environment })),
    name: peer ?? new URL(url).hostname,
  };
}

const PORTS = '/sys/class/virtio-ports';
const LINKS = '/dev/virtio-ports/';
/** A machine has some; a list without end is none. */
const MAX_PORTS = 512;

/**
 * Finds a virtio-serial port without opening it: other devices may block whoever opens them.
 * @param device - what udev calls it, `/dev/virtio-ports/NAME`; where there is no udev yet, the kernel's list of ports is looked
 *   at for that name; or the kernel's own, `/dev/vport0p2`
 * @returns the kernel's name
 * @throws LamplighterError ERR_SOURCE_ABSENT, ERR_DEVICE
 */
export async function findVirtioPort(device: string, { fs }: Pick<Environment, 'fs'>): Promise<string> {
  const file = await fs.realpath(device).catch(() => undefined);
  if (file !== undefined) {
    // The kernel lists its ports by the names their devices have.
    if (await isThere({ fs }, path.join(PORTS, path.basename(file)))) return file;
    throw new LamplighterError('ERR_DEVICE', `${device} is no virtio-serial port`, {
      hint: `ports have names in ${LINKS}`,
    });
  }
  const ports = await fs.readdir(PORTS).catch(() => []);
  const names = new Map<string, string>();
  for (const port of ports.slice(0, MAX_PORTS)) {
    const name = await fs.readFile(path.join(PORTS, port, 'name'), 'utf8').catch(() => '');
    names.set(`${LINKS}${name.trim()}`, path.join('/dev', port));
  }
  const found = names.get(device);
  if (found !== undefined) return found;
  throw new LamplighterError('ERR_SOURCE_ABSENT', `there is no ${device}`, {
    hint:
      names.size === 0
        ? 'this machine has no virtio-serial ports: give the guest one, and load virtio_console'
        : `there is ${[...names.keys()].join(', ')}`,
  });
}
