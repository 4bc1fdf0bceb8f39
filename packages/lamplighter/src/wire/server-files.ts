import { createPrivateKey, type KeyObject } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';
import { pemOf, readAuthorities, readCertificates, readKeyFile } from '../identity/pem-file.js';
import type { Environment } from '../local/environment.js';
import type { ListenerMaterial } from './listener.js';

/** Where the certificate of a server is that need not be a lamplighter node's. */
export interface ServerFiles {
  /** PEM: the certificate first, what leads from it to its root after it. */
  readonly cert: string;
  /** PEM, mode 0600 or narrower. May be the same file as `cert`. */
  readonly key: string;
  /** PEM: clients need a certificate of one of these CAs. */
  readonly clientCa?: string | undefined;
}

/**
 * Reads the certificate of a server that any CA may have made, so that a mistake is named here and not as a failed handshake.
 *
 * Whether clients trust it is theirs to judge: no chain is looked for, and no identity.
 * @throws LamplighterError ERR_CERTIFICATE_FILE (unreadable, not PEM, expired), ERR_KEY_FILE (unreadable, readable by others, not
 *   the certificate's key); each names the path and the cure
 */
export async function loadServerFiles(
  files: ServerFiles,
  environment: Pick<Environment, 'fs'>,
): Promise<ListenerMaterial> {
  const certificates = await readCertificates(files.cert, environment);
  const [leaf] = certificates;
  if (Date.parse(leaf.validTo) <= Date.now()) {
    const message = `${files.cert} expired on ${leaf.validTo}`;
    throw new LamplighterError('ERR_CERTIFICATE_FILE', message, { hint: 'renew it' });
  }
  const key = await readKeyFile(files.key, environment);
  if (!leaf.checkPrivateKey(parsedKey(key, files.key))) {
    const message = `${files.key} is not the key of the certificate ${files.cert}`;
    throw new LamplighterError('ERR_KEY_FILE', message, { hint: 'name both of one pair' });
  }
  const { clientCa } = files;
  const asked = clientCa === undefined ? undefined : await readAuthorities(clientCa, environment);
  return { cert: pemOf(certificates), key, ...(asked && { clientCa: asked }) };
}

function parsedKey(key: Buffer, path: string): KeyObject {
  try {
    return createPrivateKey(key);
  } catch (cause) {
    throw new LamplighterError('ERR_KEY_FILE', `${path} holds no usable private key`, {
      hint: 'it must be PEM, without a password',
      cause,
    });
  }
}
