import { z } from 'zod';
import { entryName, filePath } from '../../config/fields.js';

/** One way for guests without a network to reach this node. */
export const carrierEntry = z
  .strictObject({
    name: entryName.default('carrier').describe('shown in status and metrics; unique'),
    listen: filePath
      .optional()
      .describe('a unix socket in a folder of its own, to which QEMU connects (reconnect=1), for all guests'),
    connect: filePath
      .optional()
      .describe('the unix socket of one guest, on which QEMU listens (server=on,wait=off)'),
    folderMode: z.enum(['0700', '0750']).default('0700').describe('of the folder, if it has to be made'),
    maxLines: z.int().min(1).max(4_096).default(256).describe('guests at `listen` at once'),
  })
  .refine(
    ({ listen, connect }) => (listen === undefined) !== (connect === undefined),
    'listen or connect: one of them',
  );

export type CarrierEntry = z.output<typeof carrierEntry>;
