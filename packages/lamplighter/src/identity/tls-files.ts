import { createPrivateKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { LamplighterError } from '@lamplighter/core';
import { chainToRoot, pemCertificates } from './certificate-chain.js';
import { recoverIdentity } from './identity-files.js';
import { type PemFile, readPem } from './pem-file.js';
import { identityOfCertificate, type PeerIdentity, SERVER_ROLES } from './roles.js';

/** Where a node's or agent's own TLS files are. */
export interface TlsPaths {
  /** The private CA's root certificate, PEM; more than one while the CA is being replaced. */
  readonly ca: string;
  /** Our certificate, PEM, and after it up to four intermediates that lead from it to a root in `ca`. */
  readonly cert: string;
  /** Our private key, PEM, mode 0600 or narrower. May be the same file as `cert`, which then holds both. */
  readonly key: string;
}

/** The files, and what is asked of connections that use them. */
export interface TlsOptions extends TlsPaths {
  /** See {@link TlsMaterial.requireHybrid}. */
  readonly requireHybrid?: boolean | undefined;
}

/** What one end of a TLS connection holds, read and checked. */
export interface TlsMaterial {
  readonly ca: Buffer;
  /** Our certificate first, then the intermediates: all of it is sent in a handshake. Never a key. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Who our own certificate says we are. */
  readonly identity: PeerIdentity;
  /** When our own certificate begins to be valid. */
  readonly notBefore: Date;
  /** When our own certificate expires. */
  readonly notAfter: Date;
  /** Whether connections without a post-quantum hybrid key exchange are refused: who records them may decrypt them one day. */
  readonly requireHybrid?: boolean;
}

/** More than any CA in use has between its root and what it issues. */
const MAX_INTERMEDIATES = 4;
/** What OpenSSL's security level 2 asks of RSA, as NIST SP 800-57 does until 2030. */
const MIN_RSA_BITS = 2_048;

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/**
 * Reads and checks our own TLS files, so that a mistake in them is named here and not as a failed handshake later. Any CA may
 * have made them, with keys of Ed25519, P-256, P-384 or RSA.
 *
 * A replacement of the files that was interrupted is finished first. A certificate that is not yet valid passes: that is most often a clock not yet set, which is no reason to keep a
 * server from starting; the handshakes say so.
 * @param options - `evenIfExpired`: whoever can go on without it looks at `notAfter`
 * @returns the material, with the key in a buffer of its own
 * @throws LamplighterError ERR_CERTIFICATE_EXPIRED; ERR_CERTIFICATE_FILE (unreadable, not PEM, no verified way to a root in `ca`, no
 *   lamplighter identity, not for what its role does, issuer expired), ERR_CONFIG (hybrid key exchange that this runtime does not have),
 *   ERR_KEY_FILE (unreadable, readable by others, not the certificate's key); each names the path and the cure
 */
export async function loadTlsFiles(paths: TlsOptions, { evenIfExpired = false } = {}): Promise<TlsMaterial> {
  await recoverIdentity(paths);
  // One after the other: of several mistakes the first is named, and always the same one.
  const ca = await read(paths.ca, { what: 'CA certificate' });
  const { cert, key } = await readOwn(paths);
  const authorities = parseCertificates(ca, paths.ca);
  if (authorities.some((authority) => !authority.ca)) {
    throw certificateError(`${paths.ca} holds a certificate that is not a CA's`, 'use the ca.pem of the CA');
  }
  const leaf = verifiedLeaf(parseCertificates(cert, paths.cert), authorities, paths, evenIfExpired);
  const identity = identityIn(leaf, paths.cert);
  checkPurpose(leaf, identity, paths.cert);
  checkKey(leaf, key, paths);
  const { requireHybrid = false } = paths;
  if (requireHybrid) checkHybrid();
  const [notBefore, notAfter] = [new Date(leaf.validFrom), new Date(leaf.validTo)];
  return { ca, cert, key, identity, notBefore, notAfter, requireHybrid };
}

const REISSUE = 'make a new one with `lamplighter ca issue`';

/** Certificate and key; from one file by one look at it, so that they belong together whoever replaces it meanwhile. */
async function readOwn(paths: TlsPaths): Promise<{ cert: Buffer; key: Buffer }> {
  if (paths.cert !== paths.key) {
    const cert = await read(paths.cert, { what: 'certificate' });
    return { cert, key: await read(paths.key, KEY) };
  }
  const key = await read(paths.key, KEY);
  // Copied: whoever hands a certificate on must not hand a key on with it.
  return { cert: Buffer.concat(pemCertificates(key).flatMap((block) => [block, NEW_LINE])), key };
}

const KEY: PemFile = { what: 'private key', isSecret: true };

function read(path: string, file: PemFile): Promise<Buffer> {
  const hint = 'check the path and who may read it, or make it with `lamplighter ca issue`';
  return readPem(path, { fs }, { ...file, hint });
}

const NEW_LINE = Buffer.from('\n');

function verifiedLeaf(
  [leaf, ...intermediates]: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
  paths: TlsPaths,
  evenIfExpired: boolean,
): X509Certificate {
  if (leaf === undefined || leaf.ca || intermediates.some(({ ca }) => !ca)) {
    throw certificateError(
      `${paths.cert} must hold exactly one certificate that is not a CA's, and it first`,
      REISSUE,
    );
  }
  if (intermediates.length > MAX_INTERMEDIATES) {
    throw certificateError(
      `${paths.cert} holds more than ${MAX_INTERMEDIATES} intermediate certificates`,
      'leave out those that do not lead from it to the root',
    );
  }
  const issuers = chainToRoot(leaf, intermediates, authorities);
  if (issuers === undefined) {
    throw certificateError(
      `${paths.cert} was not issued by the CA in ${paths.ca}`,
      'use certificate and ca.pem from one CA, and put every intermediate after the certificate',
    );
  }
  const nowMs = Date.now();
  const expired = [leaf, ...issuers].find(({ validTo }) => !(Date.parse(validTo) > nowMs));
  if (expired === leaf && evenIfExpired) return leaf;
  if (expired === leaf) {
    throw new LamplighterError('ERR_CERTIFICATE_EXPIRED', `${paths.cert} expired on ${leaf.validTo}`, {
      hint: 'enrol again with `lamplighter enroll`, or make a new one with `lamplighter ca issue`; check the clock first',
    });
  }
  if (expired !== undefined) {
    throw certificateError(
      `the CA that ${paths.cert} rests on expired on ${expired.validTo}`,
      "replace the CA, and check this machine's clock",
    );
  }
  return leaf;
}

/** A certificate that says what it is for must be for what its holder does; OpenSSL refuses it at the other end. */
function checkPurpose(leaf: X509Certificate, { role }: PeerIdentity, path: string): void {
  const [purpose, word] = SERVER_ROLES.includes(role)
    ? [SERVER_AUTH, 'serverAuth']
    : [CLIENT_AUTH, 'clientAuth'];
  // Node calls the extended key usage so, and types it as always there.
  const usages: readonly string[] | undefined = leaf.keyUsage;
  if (usages !== undefined && !usages.includes(purpose)) {
    throw certificateError(
      `${path} is not for ${word}, which role ${role} needs`,
      `issue it with extended key usage ${word}`,
    );
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = leaf.publicKey;
  const bits = details?.modulusLength ?? 0;
  if (type === 'rsa' && bits < MIN_RSA_BITS) {
    throw certificateError(
      `${path} has an RSA key of ${bits} bits`,
      `use Ed25519, P-256, P-384, or RSA of at least ${MIN_RSA_BITS} bits`,
    );
  }
}

function parseCertificates(pem: Buffer, path: string): X509Certificate[] {
  const blocks = pemCertificates(pem);
  if (blocks.length === 0) throw certificateError(`${path} holds no PEM certificate`, REISSUE);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw certificateError(`${path} holds a damaged certificate`, REISSUE, cause);
  }
}

function identityIn(leaf: X509Certificate, path: string): PeerIdentity {
  try {
    return identityOfCertificate(leaf);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'no identity';
    throw certificateError(`${path}: ${reason}`, REISSUE, cause);
  }
}

/** OpenSSL has X25519MLKEM768 from 3.5 on. */
function checkHybrid(): void {
  const [major = 0, minor = 0] = process.versions.openssl.split('.').map(Number);
  if (major > 3 || (major === 3 && minor >= 5)) return;
  throw new LamplighterError(
    'ERR_CONFIG',
    `tls.requireHybrid: OpenSSL ${process.versions.openssl} has no hybrid key exchange`,
    { hint: 'run this with Node 24, or leave requireHybrid out' },
  );
}

function checkKey(leaf: X509Certificate, key: Buffer, paths: TlsPaths): void {
  let parsed;
  try {
    parsed = createPrivateKey(key);
  } catch (cause) {
    throw new LamplighterError('ERR_KEY_FILE', `${paths.key} holds no usable private key`, {
      hint: 'it must be an unencrypted PEM key, as `lamplighter ca issue` writes it',
      cause,
    });
  }
  if (!leaf.checkPrivateKey(parsed)) {
    throw new LamplighterError(
      'ERR_KEY_FILE',
      `${paths.key} is not the key of the certificate ${paths.cert}`,
      {
        hint: 'use the .key and .pem that were written together',
      },
    );
  }
}

function certificateError(message: string, hint: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_CERTIFICATE_FILE', message, { hint, cause });
}
