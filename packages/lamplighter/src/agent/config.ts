import { z } from 'zod';
import { creditBits, entryName, filePath, httpsUrl, ids, peer, refineBy } from '../config/fields.js';
import { tlsPaths } from '../config/file.js';
import { parsePollenUrl } from '../wire/pollen-url.js';

const relay = z.strictObject({
  name: entryName.describe('shown in what the agent reports; unique'),
  url: httpsUrl,
  peer,
  device: filePath
    .optional()
    .describe(
      'a virtio-serial port, /dev/virtio-ports/NAME, instead of the network; the relay’s name is then the host in `url`',
    ),
});

const pollen = z.strictObject({
  name: entryName.describe('shown in what the agent reports; unique, also among the relays'),
  url: z
    .string()
    .min(1)
    .max(2048)
    .superRefine((url, context) => refineBy(() => parsePollenUrl(url), context))
    .describe('https://… or http://…, whose answers everybody on the way can read: mixed, never counted'),
  ca: filePath
    .optional()
    .describe('PEM with the CA of its certificate; only with it do its answers count towards `require`'),
});

const fields = z.strictObject({
  tls: tlsPaths,
  relays: z.array(relay).min(1).max(16),
  pollen: z
    .array(pollen)
    .max(16)
    .default([])
    .describe('servers of the pollen protocol, asked beside the relays'),
  authority: z
    .strictObject({ url: httpsUrl, peer })
    .optional()
    .describe('the node at which this machine renews its certificate; each relay in turn unless told'),
  require: z
    .int()
    .min(0)
    .max(16)
    .default(1)
    .describe('beacons that make a boot "seeded with beacons" (exit 0)'),
  deadlineMs: z.int().min(100).max(300_000).default(5_000).describe('how long all relays together are given'),
  state: filePath
    .default('/var/lib/lamplighter')
    .describe('a folder of this machine’s own; holds its seed; made when missing'),
  report: filePath
    .default('/run/lamplighter/agent.json')
    .describe('what was done last and when, for people and for `lamplighter agent resume`'),
  socket: z
    .strictObject({
      path: filePath.default('/run/lamplighter/egd.sock').describe('in a folder of its own'),
      folderMode: z.enum(['0700', '0750']).default('0750').describe('of the folder, if it has to be made'),
      uids: ids.describe('who may ask; needs the native addon'),
      gids: ids.describe('whose group may ask; needs the addon'),
    })
    .optional()
    .describe('the EGD protocol for programs on this machine, from an agent that stays'),
  host: z
    .strictObject({
      device: filePath
        .optional()
        .describe('the virtio-serial port’s device, or a unix socket; where udev puts it unless told'),
    })
    .optional()
    .describe('in a guest: the host’s trickle, and its word when this guest was restored'),
  refreshMs: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(600_000)
    .describe('mean time between refreshes of an agent that stays'),
  kernel: z
    .strictObject({
      device: filePath.default('/dev/random'),
      creditBits,
    })
    .prefault({}),
});

/** The configuration of `lamplighter agent`. Relative paths are relative to the file they stand in. */
export const agentConfig = fields.superRefine(({ relays, pollen }, context) => {
  const names = new Set<string>();
  for (const [list, entries] of Object.entries({ relays, pollen })) {
    entries.forEach(({ name }, index) => {
      if (!names.has(name)) return void names.add(name);
      context.addIssue({ code: 'custom', path: [list, index, 'name'], message: `'${name}' is used twice` });
    });
  }
});

export type AgentConfig = z.output<typeof agentConfig>;
