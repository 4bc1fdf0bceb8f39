import { z } from 'zod';
import { entryName, filePath, httpsUrl, peer, port, refineBy } from '../../config/fields.js';
import { parseLife } from '../../identity/life.js';
import { DEFAULT_QUOTAS, type Quota, QUOTA_BOUNDS } from '../../identity/policy.js';
import { type Role, ROLES } from '../../identity/roles.js';

/** Two thirds of it is when certificates are renewed. */
const CERTIFICATE_LIFE = '30d';

const life = z
  .string()
  .superRefine((text, context) => refineBy(() => parseLife(text), context))
  .default(CERTIFICATE_LIFE)
  .describe('how long certificates live that this node issues: 60s, 12h, 30d');

const enroll = z
  .strictObject({
    host: z.string().min(1).max(255).default('0.0.0.0'),
    port: port.default(9444),
  })
  .describe('where machines enrol with a token: TLS without client certificates, and nothing else');

const relays = z
  .array(z.strictObject({ name: entryName, url: httpsUrl, peer }))
  .max(16)
  .default([])
  .describe('the relays a machine that enrols is told of; this node itself unless told');

/** Who certifies this node and its peers, and says who is revoked. Exactly one of `folder`, `url` and `policy`. */
export const authority = z
  .strictObject({
    folder: filePath.optional().describe('the CA’s folder: this node is the CA, and issues certificates'),
    enroll: enroll.optional(),
    life,
    relays,
    url: httpsUrl
      .optional()
      .describe('the node that is the CA: certificates are renewed and the policy is followed there'),
    peer,
    policy: filePath
      .optional()
      .describe('the folder of a CA that is kept elsewhere: only its policy/ is read'),
  })
  .superRefine(({ folder, url, policy, enroll: enrolling }, context) => {
    const given = [folder, url, policy].filter((one) => one !== undefined);
    if (given.length !== 1)
      context.addIssue({ code: 'custom', message: 'expected exactly one of folder, url and policy' });
    if (enrolling !== undefined && folder === undefined)
      context.addIssue({
        code: 'custom',
        path: ['enroll'],
        message: 'expected a folder beside it: a CA enrols',
      });
  });

export type AuthorityConfig = z.output<typeof authority>;

const bounded = (field: keyof Quota) => {
  const { least, most } = QUOTA_BOUNDS[field];
  return z.int().min(least).max(most).optional();
};

const quota = z.strictObject({
  beaconsPerMinute: bounded('beaconsPerMinute'),
  beaconBurst: bounded('beaconBurst'),
  feedBytesPerMinute: bounded('feedBytesPerMinute'),
  feedBurstBytes: bounded('feedBurstBytes'),
  connections: bounded('connections'),
});

/** What each role may take; by name it is `lamplighter ca quota`. */
export const quotas = z.partialRecord(z.enum(ROLES), quota).default({});

export type QuotasConfig = z.output<typeof quotas>;

/** The quotas of all roles, with what the configuration says otherwise. */
export function quotasOf(config: QuotasConfig): Readonly<Record<Role, Quota>> {
  return Object.fromEntries(
    ROLES.map((role) => [role, { ...DEFAULT_QUOTAS[role], ...defined(config[role]) }]),
  ) as Record<Role, Quota>;
}

/** Who got a beacon when, on disk. */
export const audit = z
  .strictObject({
    folder: filePath.describe('a folder of its own; made when missing'),
    maxBytes: z
      .int()
      .min(131_072)
      .max(2 ** 40)
      .default(64 * 1024 * 1024)
      .describe('of one file'),
    files: z.int().min(1).max(1_000).default(8).describe('how many are kept'),
  })
  .describe('who got a beacon when: name, serial, counter; never a beacon');

export type AuditConfig = z.output<typeof audit>;

const defined = (quota: object | undefined): Partial<Quota> =>
  Object.fromEntries(Object.entries(quota ?? {}).filter(([, value]) => value !== undefined));
