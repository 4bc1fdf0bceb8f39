import { dirname, resolve } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { z } from 'zod';
import { ROLES } from '../identity/roles.js';
import type { Environment } from '../local/environment.js';
import { entryName, filePath, port } from '../config/fields.js';
import { readYaml, resolveTls, tlsPaths, validate } from '../config/file.js';
import { isGuestName } from '../wire/guest-resumed.js';
import { isLoopback } from '../wire/network.js';
import { outletEntry, type PollenHttps } from './outlet-kinds.js';
import { carrierEntry } from './carriers/config.js';
import { audit, authority, type AuthorityConfig, quotas } from './fleet/config.js';
import { sourceEntry } from './source-kinds.js';

const address = (defaultHost: string, defaultPort: number) =>
  z.strictObject({
    host: z.string().min(1).max(255).default(defaultHost),
    port: port.default(defaultPort),
  });

const guestName = z.string().max(100).refine(isGuestName, 'expected a name as hypervisors give guests');

/** The configuration of `lamplighter node`. Relative paths are relative to the file they stand in. */
export const nodeConfig = z.strictObject({
  name: entryName.describe('shown in status and logs'),
  state: filePath.describe('a folder of this node’s own; made when missing'),
  tls: tlsPaths.optional().describe('needed to listen and to ask other nodes'),
  listen: address('0.0.0.0', 9443).optional().describe('mutual TLS, for the feed and beacon outlets'),
  carriers: z
    .array(carrierEntry)
    .max(64)
    .default([])
    .describe('serial lines by which guests without a network reach the feed and beacon outlets'),
  admin: address('127.0.0.1', 9600)
    .extend({
      tls: z
        .strictObject({
          cert: filePath.describe('PEM, the certificate first, then what leads to its root'),
          key: filePath.describe('PEM, mode 0600'),
          ca: filePath.optional().describe('certifies clients; the node’s own CA unless told'),
        })
        .optional()
        .describe('a certificate for browsers; the node’s own unless told'),
      roles: z
        .array(z.enum(ROLES))
        .max(ROLES.length)
        .default(['admin'])
        .describe('whose certificates open it where it is not plain HTTP on loopback'),
      preview: z.boolean().default(true).describe('small, delayed pictures of what cameras see'),
    })
    .prefault({})
    .describe('health, status, metrics and the dashboard'),
  authority: authority
    .optional()
    .describe('who certifies: renews this node’s certificate and says who is revoked'),
  quotas: quotas.describe('what peers of each role may take; by name it is `lamplighter ca quota`'),
  audit: audit.optional(),
  guests: z
    .strictObject({
      socket: filePath
        .default('/run/lamplighter-host/news/resumed.sock')
        .describe('where hooks say that a guest was restored; in a folder of its own'),
      folderMode: z.enum(['0700', '0750']).default('0700').describe('of the folder, if it has to be made'),
      qmp: z
        .array(z.strictObject({ guest: guestName, socket: filePath }))
        .max(256)
        .default([])
        .describe('monitors of QEMU, followed for guests that go on after they stood still'),
    })
    .optional()
    .describe('on a VM host: how it hears that a guest was restored'),
  schedule: z
    .enum(['improved', 'classic'])
    .default('improved')
    .describe('when which pools are drained; classic is the book’s'),
  seedDeadlineMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(10_000)
    .describe('how long the first seeding waits for sources that are not required'),
  log: z.strictObject({ level: z.enum(['error', 'warn', 'info', 'debug']).default('info') }).prefault({}),
  sources: z.array(sourceEntry).min(1).max(254),
  outlets: z.array(outletEntry).max(64).default([]),
});

export type NodeConfig = z.output<typeof nodeConfig>;

/**
 * Reads and validates a configuration.
 * @param path - a YAML (or JSON) file of at most 1 MiB
 * @throws LamplighterError ERR_CONFIG_FILE when it cannot be read, ERR_CONFIG when it is not valid: every fault is
 *   named with its key path and what is expected there
 */
export async function loadNodeConfig(environment: Environment, path: string): Promise<NodeConfig> {
  const config = validate(nodeConfig, await readYaml(environment, path), path);
  checkWhole(config, path);
  const folder = dirname(resolve(path));
  return {
    ...config,
    state: resolve(folder, config.state),
    sources: config.sources.map((source) =>
      source.kind === 'camera' && source.calibration !== undefined
        ? { ...source, calibration: resolve(folder, source.calibration) }
        : source.kind === 'pollen' && source.ca !== undefined
          ? { ...source, ca: resolve(folder, source.ca) }
          : source,
    ),
    outlets: config.outlets.map((outlet) =>
      outlet.kind === 'pollen' && outlet.https !== undefined
        ? { ...outlet, https: resolveHttps(folder, outlet.https) }
        : outlet,
    ),
    carriers: config.carriers.map((entry) => ({
      ...entry,
      ...(entry.listen !== undefined && { listen: resolve(folder, entry.listen) }),
      ...(entry.connect !== undefined && { connect: resolve(folder, entry.connect) }),
    })),
    ...(config.tls && { tls: resolveTls(folder, config.tls) }),
    admin: resolveAdmin(folder, config.admin),
    ...(config.authority && { authority: resolveAuthority(folder, config.authority) }),
    ...(config.guests && { guests: { ...config.guests, socket: resolve(folder, config.guests.socket) } }),
    ...(config.audit && { audit: { ...config.audit, folder: resolve(folder, config.audit.folder) } }),
  };
}

function resolveAdmin(folder: string, admin: NodeConfig['admin']): NodeConfig['admin'] {
  if (admin.tls === undefined) return admin;
  const { cert, key, ca } = admin.tls;
  const clientCa = ca === undefined ? {} : { ca: resolve(folder, ca) };
  return { ...admin, tls: { cert: resolve(folder, cert), key: resolve(folder, key), ...clientCa } };
}

function resolveHttps(folder: string, https: PollenHttps): PollenHttps {
  const { cert, key, clientCa } = https;
  return {
    ...https,
    ...(cert !== undefined && { cert: resolve(folder, cert) }),
    ...(key !== undefined && { key: resolve(folder, key) }),
    ...(clientCa !== undefined && { clientCa: resolve(folder, clientCa) }),
  };
}

function resolveAuthority(folder: string, entry: AuthorityConfig): AuthorityConfig {
  const { folder: own, policy } = entry;
  return {
    ...entry,
    ...(own !== undefined && { folder: resolve(folder, own) }),
    ...(policy !== undefined && { policy: resolve(folder, policy) }),
  };
}

/** Whether a pollen outlet answers over TLS with no certificate of its own. */
function needsOwnCertificate(part: NodeConfig['sources'][number] | NodeConfig['outlets'][number]): boolean {
  return (
    part.kind === 'pollen' && 'https' in part && part.https !== undefined && part.https.cert === undefined
  );
}

/** What no single entry can know. */
function checkWhole(config: NodeConfig, path: string): void {
  const fail = (where: string, message: string, hint: string): never => {
    throw new LamplighterError('ERR_CONFIG', `${path}: ${where}: ${message}`, { hint });
  };
  for (const list of ['sources', 'outlets', 'carriers'] as const) {
    const seen = new Set<string>();
    config[list].forEach(({ name }, index) => {
      if (seen.has(name))
        fail(`${list}[${index}].name`, `'${name}' is used twice`, 'give each its own name: …');
      seen.add(name);
    });
  }
  const needsTls = [...config.sources, ...config.outlets].find(
    (part) => part.kind === 'feed' || part.kind === 'beacon' || needsOwnCertificate(part),
  );
  const fleet = config.authority !== undefined || config.audit !== undefined;
  const isReached = config.listen !== undefined || config.carriers.length > 0;
  if (config.tls === undefined && (needsTls !== undefined || isReached || fleet)) {
    fail('tls', 'missing', 'make one with `lamplighter ca issue` and name its ca, cert and key');
  }
  const { admin } = config;
  if (!isLoopback(admin.host) && admin.tls === undefined && config.tls === undefined) {
    fail(
      'admin.host',
      `${admin.host} is not loopback, and there is no certificate`,
      'set it to 127.0.0.1, or add tls: … or admin.tls: …',
    );
  }
  if (config.authority?.folder !== undefined && config.listen === undefined) {
    fail('listen', 'missing, and a CA needs it', 'add listen: { host: …, port: … }');
  }
  const served = config.outlets.find(({ kind }) => kind === 'feed' || kind === 'beacon');
  if (served !== undefined && !isReached) {
    fail(
      'listen',
      `missing, and the ${served.kind} outlet needs it`,
      'add listen: { host: …, port: … }, or carriers',
    );
  }
}
