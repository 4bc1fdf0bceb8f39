import { LamplighterError } from '@lamplighter/core';
import { z } from 'zod';
import type { Endpoint } from '../../local/environment.js';
import { parseEgdAddress } from '../../wire/egd-address.js';
import { CARRIER_PORT } from '../../wire/carrier.js';
import { TRICKLE_PORT } from '../../wire/trickle.js';
import { XENSTORE_LIMITS } from '../../outlets/xenstore/xenstore.js';
import type { CarrierEntry } from '../carriers/config.js';
import type { NodeConfig } from '../config.js';
import type { QemuVersion } from './host-machine.js';

/** What snippets are made for. */
export interface SnippetSubject {
  readonly config: Pick<NodeConfig, 'outlets'> & Partial<Pick<NodeConfig, 'name' | 'carriers' | 'guests'>>;
  /** The name of one guest: sockets in a folder are called after it. */
  readonly guest: string;
  /** The host's; a version of today's distributions when it is not known. */
  readonly qemu: QemuVersion | undefined;
}

/** Whether a QEMU counts `reconnect` in seconds, as all did, or has `reconnect-ms`: from 9.2 on, and 11 has nothing else. */
export type Reconnect = 'reconnect=1' | 'reconnect-ms=1000';

/** What a guest of a hypervisor can be given by a node that is configured so: all that a snippet depends on. */
export interface GuestWays {
  /** The EGD socket, for virtio-rng. */
  readonly egd: { readonly endpoint: Endpoint; readonly bytesPerSecond: number } | undefined;
  /** Virtio-serial ports, each with a unix socket of its own. */
  readonly ports: readonly GuestPort[];
  /** Where guests find their bytes, relative to their folder. */
  readonly xenstore: string | undefined;
  readonly mailboxes: readonly string[];
  /** Whether this node hands entropy to the host's own kernel. */
  readonly kernel: boolean;
  /** What this node is called, as its certificate usually is. */
  readonly node: string;
  /** Whether there is a beacon outlet for who comes by a carrier. */
  readonly beacons: boolean;
  /** Whether hooks can tell this node that a guest was restored. */
  readonly hearsOfRestores: boolean;
  /** How the host's QEMU is told to connect again. */
  readonly reconnect: Reconnect;
}

/** A virtio-serial port of one guest. */
export interface GuestPort {
  /** As the guest finds it, in /dev/virtio-ports. */
  readonly name: string;
  readonly path: string;
  /** Whether QEMU makes the socket and the node connects to it, or the other way round. */
  readonly qemuListens: boolean;
}

/** A kernel takes 32 bytes before it calls its RNG ready; with less than this a boot would wait for them. */
const LEAST_BYTES_PER_SECOND = 16;

/** As a guest may be called: it becomes part of a path. */
const GUEST_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}$/;

const trickleEntry = z.object({
  kind: z.literal('trickle'),
  role: z.enum(['connect', 'listen']),
  sockets: z.array(z.string()).default([]),
  folder: z.string().optional(),
});
const xenstoreEntry = z.object({
  kind: z.literal('xenstore'),
  path: z.string().default(XENSTORE_LIMITS.path),
});
const mailboxEntry = z.object({ kind: z.literal('mailbox'), folders: z.array(z.string()).default([]) });

/**
 * Finds in a configuration what guests can be given.
 * @throws LamplighterError ERR_USAGE for what is no name of a guest
 */
export function guestWays({ config, guest, qemu }: SnippetSubject): GuestWays {
  if (!GUEST_NAME.test(guest)) {
    throw new LamplighterError('ERR_USAGE', `${JSON.stringify(guest)} is no name of a guest`, {
      hint: 'letters, digits and _.@+-, at most 100, none of .@+- in front',
    });
  }
  const egd = config.outlets.find((outlet) => outlet.kind === 'egd');
  return {
    egd: egd && { endpoint: parseEgdAddress(egd.listen), bytesPerSecond: shareOf(egd) },
    ports: [
      ...entries(config, trickleEntry).flatMap((trickle) => tricklePort(trickle, guest)),
      ...carrierPort(config.carriers ?? [], guest),
    ],
    xenstore: entries(config, xenstoreEntry)[0]?.path,
    mailboxes: entries(config, mailboxEntry).flatMap(({ folders }) => folders),
    kernel: config.outlets.some(({ kind }) => kind === 'kernel'),
    node: config.name ?? 'NODE',
    beacons: config.outlets.some(({ kind }) => kind === 'beacon'),
    hearsOfRestores: config.guests !== undefined,
    reconnect: qemu !== undefined && hasMilliseconds(qemu) ? 'reconnect-ms=1000' : 'reconnect=1',
  };
}

/** QEMU, docs/about/deprecated.rst and removed-features.rst. */
const hasMilliseconds = ({ major, minor }: QemuVersion): boolean => major > 9 || (major === 9 && minor >= 2);

/** The outlets of one kind, as far as a snippet depends on them. */
function entries<S extends z.ZodType>({ outlets }: Pick<NodeConfig, 'outlets'>, shape: S): z.output<S>[] {
  return outlets.flatMap((outlet) => {
    const read = shape.safeParse(outlet);
    return read.success ? [read.data] : [];
  });
}

/** What one guest may take: so much that all guests together stay within the outlet's budget. */
function shareOf(egd: {
  readonly bytesPerSecond: number;
  readonly totalBytesPerSecond: number;
  readonly maxConnections: number;
}): number {
  const share = Math.floor(egd.totalBytesPerSecond / egd.maxConnections);
  return Math.max(LEAST_BYTES_PER_SECOND, Math.min(egd.bytesPerSecond, share));
}

/** Sockets that are listed are one a guest, whose guest nobody says: the one that is called so, if any, else the first. */
function tricklePort({ role, folder, sockets }: z.output<typeof trickleEntry>, guest: string): GuestPort[] {
  const path =
    folder === undefined ? socketOf(guest, sockets) : `${folder.replace(/\/+$/, '')}/${guest}.sock`;
  return path === undefined ? [] : [{ name: TRICKLE_PORT, path, qemuListens: role === 'connect' }];
}

/** A guest has one: that of its own, else the one that all may come to. */
function carrierPort(carriers: readonly CarrierEntry[], guest: string): GuestPort[] {
  const own = carriers.flatMap(({ connect }) => connect ?? []);
  const shared = carriers.flatMap(({ listen }) => listen ?? [])[0];
  const path = own.find((socket) => isOf(guest, socket)) ?? shared ?? own[0];
  return path === undefined ? [] : [{ name: CARRIER_PORT, path, qemuListens: path !== shared }];
}

const socketOf = (guest: string, sockets: readonly string[]): string | undefined =>
  sockets.find((socket) => isOf(guest, socket)) ?? sockets[0];

const isOf = (guest: string, socket: string): boolean => socket.endsWith(`/${guest}.sock`);
