import { z } from 'zod';
import type { Environment } from '../local/environment.js';
import type { NativeDoors } from '../local/native-doors.js';
import { beaconOutlet, type BeaconRecord } from '../outlets/beacon.js';
import { egdOutlet, FOLDER_MODES } from '../outlets/egd/egd.js';
import { feedOutlet } from '../outlets/feed.js';
import { kernelOutlet } from '../outlets/kernel.js';
import { XENSTORE_LIMITS, xenstoreOutlet } from '../outlets/xenstore/xenstore.js';
import { mailboxOutlet } from '../outlets/mailbox/mailbox.js';
import type { Outlet } from '../outlets/outlet.js';
import { pollenOutlet } from '../outlets/pollen/pollen.js';
import { trickleOutlet } from '../outlets/trickle/trickle.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import type { Listener, ListenerOptions } from '../wire/listener.js';
import { creditBits, entryName, filePath, ids, periodMs, port, refineBy } from '../config/fields.js';
import { parseEgdAddress } from '../wire/egd-address.js';

const xenstorePath = z
  .string()
  .max(256)
  .regex(/^[\w-][\w@-]*(?:\/[\w@-]+)*$/, 'expected names of a-z, A-Z, 0-9, -, _ with slashes between them');

/** What an outlet may be given besides its own options. */
export interface OutletFactory {
  readonly environment: Environment;
  readonly native: NativeDoors;
  /** @throws LamplighterError ERR_CONFIG when the configuration has no `listen` */
  listener(): Listener;
  /** @throws LamplighterError ERR_CONFIG when the configuration names no certificate */
  readonly tls: () => TlsMaterial;
  /** What every listener of this node is made with. */
  readonly listening: Pick<ListenerOptions, 'onError' | 'before'>;
  /** What no two starts of any node share. */
  readonly start: { readonly number: bigint; readonly instanceId: Uint8Array };
  /** Told of every beacon; undefined when nobody wants to know. */
  readonly audit: ((record: BeaconRecord) => void) | undefined;
}

const name = (kind: string) => entryName.default(kind).describe('shown in status and metrics; unique');

const feed = z.strictObject({
  kind: z.literal('feed'),
  name: name('feed'),
  maxSubscribers: z.int().min(1).max(10_000).default(256),
});

const beacon = z.strictObject({ kind: z.literal('beacon'), name: name('beacon') });

const kernel = z.strictObject({
  kind: z.literal('kernel'),
  name: name('kernel'),
  device: filePath.default('/dev/random'),
  creditBits,
  periodMs: periodMs(1_000, 86_400_000).default(300_000),
});

const egd = z.strictObject({
  kind: z.literal('egd'),
  name: name('egd'),
  listen: z
    .string()
    .max(300)
    .superRefine((address, context) => refineBy(() => parseEgdAddress(address), context))
    .describe('unix:/path in a folder of its own, or tcp:127.0.0.1:port'),
  folderMode: z.enum(['0700', '0750']).default('0700').describe('of the folder, if it has to be made'),
  uids: ids.describe('who may ask; needs the native addon'),
  gids: ids.describe('whose group may ask; needs the native addon'),
  maxConnections: z.int().min(1).max(10_000).default(512),
  bytesPerSecond: z
    .int()
    .min(256)
    .max(2 ** 30)
    .default(262_144)
    .describe('for one connection'),
  totalBytesPerSecond: z
    .int()
    .min(256)
    .max(2 ** 30)
    .default(2_097_152),
  unaskedBytes: z
    .int()
    .min(0)
    .max(255)
    .default(0)
    .describe('sent to whoever connects, unasked; 64 for a socket that only QEMU uses: it never asks again'),
});

const host = z.string().min(1).max(255).default('0.0.0.0');

const pollen = z
  .strictObject({
    kind: z.literal('pollen'),
    name: name('pollen'),
    http: z
      .strictObject({ host, port: port.default(80) })
      .optional()
      .describe('in the clear: whoever is on the way reads the answers'),
    https: z
      .strictObject({
        host,
        port: port.default(443),
        cert: filePath
          .optional()
          .describe('of any CA, followed by what leads to its root; the node’s own unless told'),
        key: filePath.optional().describe('of `cert`, mode 0600; both or neither'),
        clientCa: filePath.optional().describe('clients need a certificate of this CA, whoever they are'),
      })
      .refine(
        ({ cert, key }) => (cert === undefined) === (key === undefined),
        'cert and key: both or neither',
      )
      .optional()
      .describe('TLS 1.3'),
    perMinute: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(60)
      .describe('requests of one IPv4 address or IPv6 /64, and so many at once; beyond, 429'),
  })
  .refine(({ http, https }) => http !== undefined || https !== undefined, 'http or https: at least one');

const xenstore = z.strictObject({
  kind: z.literal('xenstore'),
  name: name('xenstore'),
  socket: filePath.default(XENSTORE_LIMITS.socket).describe('xenstored’s unix socket'),
  path: xenstorePath
    .default(XENSTORE_LIMITS.path)
    .describe('of the node, in each domain’s folder; a guest asks by writing to PATH/request'),
  lengthBytes: z.int().min(16).max(512).default(32).describe('bytes a guest is given at a time, as hex'),
  periodMs: periodMs(1_000, 86_400_000).default(600_000).describe('mean time between two writes for a guest'),
  leastMs: periodMs(0, 86_400_000).default(1_000).describe('between two writes for a guest that asks'),
  maxDomains: z.int().min(1).max(4_096).default(4_096).describe('guests served; others are counted'),
});

const trickle = z.strictObject({
  kind: z.literal('trickle'),
  name: name('trickle'),
  role: z
    .enum(['connect', 'listen'])
    .describe('connect where QEMU’s chardev has server=on, listen where it is the client'),
  sockets: z.array(filePath).max(4_096).default([]).describe('unix sockets, one a guest, named after it'),
  folder: filePath
    .optional()
    .describe('connect only: watched for GUEST.sock and for GUEST/org.openmirage.entropy.1, libvirt’s own'),
  folderMode: z.enum(['0700', '0750']).default('0700').describe('listen only: if it has to be made'),
  bytesPerMinute: z.int().min(1).max(1_048_576).default(1_024).describe('for one guest, beside bursts'),
  burstBytes: z.int().min(16).max(65_536).default(1_024).describe('after a hello, and at a resume'),
  maxGuests: z.int().min(1).max(4_096).default(256),
});

const mailbox = z.strictObject({
  kind: z.literal('mailbox'),
  name: name('mailbox'),
  folders: z.array(filePath).min(1).max(1_024).describe('absolute paths, one a guest; ours or root’s'),
  lengthBytes: z.int().min(16).max(4_096).default(64).describe('of one file'),
  periodMs: periodMs(1_000, 86_400_000).default(600_000),
  maxUnread: z.int().min(1).max(64).default(4).describe('files that a guest may leave untaken'),
  uid: z.int().min(0).optional().describe('whose the files are; ours unless told'),
  gid: z.int().min(0).optional().describe('the folder’s group, where that may read it, unless told'),
});

/** The registry of outlets. A new one is a line here and a case below. */
export const outletEntry = z.discriminatedUnion('kind', [
  feed,
  beacon,
  kernel,
  egd,
  trickle,
  mailbox,
  xenstore,
  pollen,
]);

export type OutletEntry = z.output<typeof outletEntry>;

export type PollenHttps = NonNullable<z.output<typeof pollen>['https']>;

/** Makes the outlet an entry describes. */
export function createOutlet(entry: OutletEntry, factory: OutletFactory): Outlet {
  const { environment, start } = factory;
  switch (entry.kind) {
    case 'feed':
      return feedOutlet({ ...entry, listener: factory.listener(), environment });
    case 'beacon':
      return beaconOutlet({
        ...entry,
        listener: factory.listener(),
        environment,
        start,
        audit: factory.audit,
      });
    case 'egd':
      return egdOutlet({
        ...entry,
        folderMode: FOLDER_MODES[entry.folderMode],
        environment,
      });
    case 'pollen':
      return pollenOutlet({ ...entry, environment, tls: factory.tls, listening: factory.listening });
    case 'xenstore':
      return xenstoreOutlet({ ...entry, environment });
    case 'trickle':
      return trickleOutlet({ ...entry, folderMode: FOLDER_MODES[entry.folderMode], environment });
    case 'mailbox':
      return mailboxOutlet({ ...entry, owner: { uid: entry.uid, gid: entry.gid }, environment });
    case 'kernel':
      return kernelOutlet({ ...entry, environment, native: factory.native });
  }
}
