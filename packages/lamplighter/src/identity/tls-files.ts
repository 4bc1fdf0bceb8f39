import { createPrivateKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { LamplighterError, type ErrorCode } from '@lamplighter/core';
import { identityOfCertificate, type PeerIdentity } from './roles.js';

/** Where a node's or agent's own TLS files are. */
export interface TlsPaths {
  /** The private CA's certificate, PEM; more than one while the CA is being replaced. */
  readonly ca: string;
  /** Our certificate, PEM. */
  readonly cert: string;
  /** Our private key, PEM, mode 0600 or narrower. */
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
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Who our own certificate says we are. */
  readonly identity: PeerIdentity;
  /** When our own certificate expires. */
  readonly notAfter: Date;
  /** Whether connections without a post-quantum hybrid key exchange are refused: who records them may decrypt them one day. */
  readonly requireHybrid?: boolean;
}

/** PEM files are a few hundred bytes; whatever is longer is something else. */
const MAX_FILE_BYTES = 1_048_576;

/** Below this a certificate deserves a warning: a quarter of the default life of 30 days. */
const EXPIRY_WARNING_MS = 7 * 86_400_000;

/**
 * Reads and checks our own TLS files, so that a mistake in them is named here and not as a failed handshake later.
 *
 * A certificate that is not yet valid passes: that is most often a clock not yet set, which is no reason to keep a
 * server from starting; the handshakes say so.
 * @returns the material, with the key in a buffer of its own
 * @throws LamplighterError ERR_CERTIFICATE_FILE (unreadable, not PEM, not issued by the CA, no lamplighter identity,
 *   expired), ERR_CONFIG (hybrid key exchange that this runtime does not have), ERR_KEY_FILE (unreadable, readable by others, not the certificate's key); each names the path and the cure
 */
export async function loadTlsFiles(paths: TlsOptions): Promise<TlsMaterial> {
  // One after the other: of several mistakes the first is named, and always the same one.
  const ca = await readBounded(paths.ca, 'ERR_CERTIFICATE_FILE', 'CA certificate');
  const cert = await readBounded(paths.cert, 'ERR_CERTIFICATE_FILE', 'certificate');
  const key = await readBounded(paths.key, 'ERR_KEY_FILE', 'private key', true);
  const authorities = parseCertificates(ca, paths.ca);
  if (authorities.some((authority) => !authority.ca)) {
    throw certificateError(`${paths.ca} holds a certificate that is not a CA's`, 'use the ca.pem of the CA');
  }
  const [leaf, ...more] = parseCertificates(cert, paths.cert);
  if (leaf === undefined || more.length > 0 || leaf.ca) {
    throw certificateError(`${paths.cert} must hold exactly one certificate, not a CA's`, REISSUE);
  }
  if (!authorities.some((authority) => leaf.checkIssued(authority) && leaf.verify(authority.publicKey))) {
    throw certificateError(
      `${paths.cert} was not issued by the CA in ${paths.ca}`,
      'use certificate and ca.pem from one CA',
    );
  }
  const identity = identityIn(leaf, paths.cert);
  const notAfter = new Date(leaf.validTo);
  if (!(notAfter.getTime() > Date.now())) {
    throw certificateError(
      `${paths.cert} expired on ${leaf.validTo}`,
      `${REISSUE}, and check this machine's clock`,
    );
  }
  checkKey(leaf, key, paths);
  const { requireHybrid = false } = paths;
  if (requireHybrid) checkHybrid();
  return { ca, cert, key, identity, notAfter, requireHybrid };
}

/**
 * Words for a certificate that expires soon.
 * @param tls - our own material
 * @param nowMs - milliseconds since 1970
 * @returns a warning without full stop, or undefined while at least 7 days are left
 */
export function expiryWarning(
  tls: Pick<TlsMaterial, 'identity' | 'notAfter'>,
  nowMs: number,
): string | undefined {
  if (tls.notAfter.getTime() - nowMs >= EXPIRY_WARNING_MS) return undefined;
  return `the certificate of ${tls.identity.role} ${tls.identity.name} expires on ${tls.notAfter.toISOString()}`;
}

const REISSUE = 'make a new one with `lamplighter ca issue`';

async function readBounded(path: string, code: ErrorCode, what: string, secret = false): Promise<Buffer> {
  try {
    const file = await fs.open(path, 'r');
    try {
      // The open file is asked, not the path: what was checked is what is read.
      const stat = await file.stat();
      if (!stat.isFile()) throw new LamplighterError(code, `the ${what} ${path} is not a file`);
      if (stat.size > MAX_FILE_BYTES) {
        throw new LamplighterError(code, `the ${what} ${path} is larger than ${MAX_FILE_BYTES} bytes`);
      }
      if (secret && (stat.mode & 0o077) !== 0) {
        const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
        throw new LamplighterError(
          code,
          `the ${what} ${path} may be read or changed by others (mode ${mode})`,
          {
            hint: `chmod 600 ${path}`,
          },
        );
      }
      const bytes = Buffer.alloc(stat.size);
      const { bytesRead } = await file.read(bytes, 0, stat.size, 0);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new LamplighterError(code, `the ${what} ${path} cannot be read (${reason})`, {
      hint: 'check the path and who may read it, or make it with `lamplighter ca issue`',
      cause,
    });
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

function parseCertificates(pem: Buffer, path: string): X509Certificate[] {
  const blocks = pem.toString('latin1').match(PEM_CERTIFICATE) ?? [];
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
