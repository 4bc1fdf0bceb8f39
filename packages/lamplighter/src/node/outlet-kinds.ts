import { z } from 'zod';
import type { Environment } from '../local/environment.js';
import type { NativeDoors } from '../local/native-doors.js';
import { beaconOutlet } from '../outlets/beacon.js';
import { egdOutlet, FOLDER_MODES } from '../outlets/egd/egd.js';
import { feedOutlet } from '../outlets/feed.js';
import { kernelOutlet } from '../outlets/kernel.js';
import type { Outlet } from '../outlets/outlet.js';
import type { Listener } from '../wire/listener.js';
import { creditBits, entryName, filePath, ids, periodMs, refineBy } from '../config/fields.js';
import { parseEgdAddress } from '../wire/egd-address.js';

/** What an outlet may be given besides its own options. */
export interface OutletFactory {
  readonly environment: Environment;
  readonly native: NativeDoors;
  /** @throws LamplighterError ERR_CONFIG when the configuration has no `listen` */
  listener(): Listener;
  /** What no two starts of any node share. */
  readonly start: { readonly number: bigint; readonly instanceId: Uint8Array };
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
});

/** The registry of outlets. A new one is a line here and a case below. */
export const outletEntry = z.discriminatedUnion('kind', [feed, beacon, kernel, egd]);

export type OutletEntry = z.output<typeof outletEntry>;

/** Makes the outlet an entry describes. */
export function createOutlet(entry: OutletEntry, factory: OutletFactory): Outlet {
  const { environment, start } = factory;
  switch (entry.kind) {
    case 'feed':
      return feedOutlet({ ...entry, listener: factory.listener(), environment });
    case 'beacon':
      return beaconOutlet({ ...entry, listener: factory.listener(), environment, start });
    case 'egd':
      return egdOutlet({
        ...entry,
        folderMode: FOLDER_MODES[entry.folderMode],
        environment,
      });
    case 'kernel':
      return kernelOutlet({ ...entry, environment, native: factory.native });
  }
}
