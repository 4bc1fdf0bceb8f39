import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { absent } from './key-files.js';
import {
  decodeTrust,
  isSignedBy,
  readTrustFile,
  signTrust,
  trustFile,
  type TrustDocument,
} from './trust-list.js';

/** A CA's folder as it is on disk, read and checked. */
export interface AuthorityFolder {
  /** What signs new certificates: Ed25519, private. */
  readonly key: KeyObject;
  /** The root whose key that is; one of {@link AuthorityFolder.roots}. */
  readonly signer: X509Certificate;
  /** In the order of the trust list. */
  readonly roots: readonly X509Certificate[];
  readonly trust: TrustDocument;
  /** Whether ca.pem is as the trust list says; a rotation that was interrupted leaves it behind. */
  readonly isPublished: boolean;
}

const MAX_FILE_BYTES = 1_048_576;

/**
 * Reads a CA's folder: ca.key, ca.pem, trust.json. A folder from before there were trust lists has no trust.json: its list is the
 * roots of its ca.pem, signed here and now.
 *
 * The signer is the root whose key ca.key is, wherever in the list it stands: so every state between two renames of a rotation
 * is a CA that works.
 * @throws LamplighterError ERR_CA_FILE when there is no usable CA, its key may be read by others, it has expired, or the files are not
 *   of one CA
 */
export async function readAuthorityFolder(folder: string): Promise<AuthorityFolder> {
  try {
    const key = await readCaKey(join(folder, 'ca.key'));
    const listed = await readTrustDocument(folder);
    const pem = await readBounded(join(folder, 'ca.pem'));
    const file = readTrustFile(pem);
    const known = listed === undefined ? file.roots : certificates(listed);
    const signer = known.find((root) => root.checkPrivateKey(key));
    if (signer === undefined || !file.roots.some((root) => root.raw.equals(signer.raw))) {
      throw caError(
        `${folder}/ca.key is not the key of ${folder}/ca.pem`,
        'restore the files from one backup',
      );
    }
    if (!(Date.parse(signer.validTo) > Date.now())) {
      throw caError(
        `the CA in ${folder} has expired`,
        "make a new CA with `lamplighter ca init`, or check this machine's clock",
      );
    }
    if (listed !== undefined && !isSignedBy(listed, signer)) {
      throw caError(
        `${folder}/trust.json is not signed by the CA's key`,
        'restore the files from one backup',
      );
    }
    const signerFirst = [signer, ...known.filter((root) => root !== signer)].map(String);
    const trust = listed ?? signTrust(Math.max(file.sequence, 1), signerFirst, [key]);
    const isPublished = listed === undefined || pem.toString('latin1') === trustFile(trust);
    return { key, signer, roots: certificates(trust), trust, isPublished };
  } catch (cause) {
    if (cause instanceof LamplighterError && cause.code === 'ERR_CA_FILE') throw cause;
    throw new LamplighterError('ERR_CA_FILE', `there is no usable CA in ${folder}`, {
      hint: `make one with \`lamplighter ca init ${folder}\`, or check who may read it`,
      cause,
    });
  }
}

/**
 * Reads a private key of a CA.
 * @throws LamplighterError ERR_CA_FILE when others may read or change it, or it is no Ed25519 key
 * @throws the file system's own error
 */
export async function readCaKey(path: string): Promise<KeyObject> {
  const pem = await readBounded(path, true);
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below; what the parser says of a private key is not passed on.
  } finally {
    pem.fill(0);
  }
  throw caError(`${path} holds no Ed25519 private key`, 'restore it from a backup');
}

/**
 * Reads a private key of a CA and the root that stands behind it in the same file.
 * @throws LamplighterError ERR_CA_FILE as {@link readCaKey}, or when there is no root of that key in the file
 * @throws the file system's own error
 */
export async function readKeyAndRoot(path: string): Promise<{ key: KeyObject; root: X509Certificate }> {
  const key = await readCaKey(path);
  const pem = await readBounded(path, true);
  try {
    const root = new X509Certificate(pem);
    if (root.checkPrivateKey(key)) return { key, root };
  } catch {
    // Said below.
  } finally {
    pem.fill(0);
  }
  throw caError(`${path} holds no certificate of its key`, 'restore it from a backup');
}

async function readTrustDocument(folder: string): Promise<TrustDocument | undefined> {
  const json = await readBounded(join(folder, 'trust.json')).catch(absent);
  return json === undefined ? undefined : decodeTrust(JSON.parse(json.toString('utf8')));
}

function certificates({ roots }: TrustDocument): X509Certificate[] {
  return roots.map((pem) => new X509Certificate(pem));
}

async function readBounded(path: string, isSecret = false): Promise<Buffer> {
  const file = await fs.open(path, 'r');
  try {
    // The open file is asked, not the path: what was checked is what is read.
    const { size, mode } = await file.stat();
    if (size > MAX_FILE_BYTES) throw caError(`${path} is larger than ${MAX_FILE_BYTES} bytes`, 'restore it');
    if (isSecret && (mode & 0o077) !== 0) {
      throw caError(
        `the CA key ${path} may be read or changed by others`,
        `chmod 600 ${path}; if it was ever exposed, make a new CA`,
      );
    }
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await file.read(bytes, 0, size, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function caError(message: string, hint: string): LamplighterError {
  return new LamplighterError('ERR_CA_FILE', message, { hint });
}
