import { LamplighterError } from '@lamplighter/core';
import { SERVER_ROLES } from '../../identity/roles.js';
import type { TlsMaterial } from '../../identity/tls-files.js';
import type { Environment } from '../../local/environment.js';
import type { ListenerMaterial } from '../../wire/listener.js';
import { loadServerFiles } from '../../wire/server-files.js';
import { isLoopback } from '../../wire/network.js';

/** What the configuration says of the admin listener's certificate. */
export interface AdminCertificate {
  readonly host: string;
  /** Another one than the node's own; `ca` certifies clients, the node's own CA unless told. */
  readonly tls?:
    { readonly cert: string; readonly key: string; readonly ca?: string | undefined } | undefined;
}

/**
 * The material with which the admin listener speaks TLS.
 * @param own - the node's; undefined when it has none
 * @returns undefined on loopback without a certificate of its own: plain HTTP
 * @throws LamplighterError ERR_CONFIG when it listens for others and has no certificate for that; ERR_CERTIFICATE_FILE, ERR_KEY_FILE
 */
export async function loadAdminMaterial(
  { host, tls }: AdminCertificate,
  own: TlsMaterial | undefined,
  environment: Pick<Environment, 'fs'>,
): Promise<ListenerMaterial | undefined> {
  if (tls !== undefined) {
    const files = await loadServerFiles({ cert: tls.cert, key: tls.key, clientCa: tls.ca }, environment);
    return { ...(own && { clientCa: own.ca }), ...files };
  }
  if (isLoopback(host)) return undefined;
  if (own === undefined) {
    throw new LamplighterError(
      'ERR_CONFIG',
      `admin.host: ${host} is not loopback, and there is no certificate`,
      {
        hint: 'set admin.host to 127.0.0.1, or give the node tls: … or admin.tls: …',
      },
    );
  }
  const { ca, cert, key, identity, requireHybrid = false } = own;
  if (!SERVER_ROLES.includes(identity.role)) {
    const message = `admin: the certificate of role ${identity.role} is not for a server`;
    throw new LamplighterError('ERR_CONFIG', message, {
      hint: 'give it one that is: admin.tls: { cert: …, key: … }',
    });
  }
  return { cert, key, clientCa: ca, requireHybrid };
}
