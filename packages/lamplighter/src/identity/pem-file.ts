import { X509Certificate } from 'node:crypto';
import { constants } from 'node:fs/promises';
import { type ErrorCode, LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { pemCertificates } from './certificate-chain.js';

/** PEM files are a few thousand bytes; whatever is longer is something else. */
const MAX_FILE_BYTES = 1_048_576;

/** What a PEM file is for. */
export interface PemFile {
  readonly what: string;
  readonly isSecret?: boolean;
  /** The cure when it cannot be read. */
  readonly hint?: string;
}

/**
 * Reads a private key, which nobody else may read or change.
 * @throws LamplighterError ERR_KEY_FILE, naming the path and the cure
 */
export function readKeyFile(path: string, environment: Pick<Environment, 'fs'>): Promise<Buffer> {
  return readPem(path, environment, { what: 'private key', isSecret: true });
}

/**
 * Reads the certificates in a PEM file, whatever else stands in it.
 * @returns at least one
 * @throws LamplighterError ERR_CERTIFICATE_FILE (unreadable, none there, a damaged one), naming the path and the cure
 */
export async function readCertificates(
  path: string,
  environment: Pick<Environment, 'fs'>,
): Promise<[X509Certificate, ...X509Certificate[]]> {
  const pem = await readPem(path, environment, { what: 'certificate' });
  try {
    const [first, ...rest] = pemCertificates(pem).map((block) => new X509Certificate(block));
    if (first !== undefined) return [first, ...rest];
  } catch (cause) {
    throw fault('ERR_CERTIFICATE_FILE', `${path} holds a damaged certificate`, 'write it anew', cause);
  }
  throw fault('ERR_CERTIFICATE_FILE', `${path} holds no PEM certificate`, 'name a file with one');
}

/**
 * Reads the certificates of CAs.
 * @returns PEM of them alone
 * @throws LamplighterError ERR_CERTIFICATE_FILE, also when one of them is not a CA's
 */
export async function readAuthorities(path: string, environment: Pick<Environment, 'fs'>): Promise<Buffer> {
  const certificates = await readCertificates(path, environment);
  if (certificates.every(({ ca }) => ca)) return pemOf(certificates);
  throw fault(
    'ERR_CERTIFICATE_FILE',
    `${path} holds a certificate that is not a CA's`,
    'name the ca.pem of a CA',
  );
}

/** Certificates as PEM, and nothing else that stood in their file. */
export function pemOf(certificates: readonly X509Certificate[]): Buffer {
  return Buffer.from(certificates.map((certificate) => certificate.toString()).join(''));
}

/**
 * Reads a file that is as long as PEM files are.
 * @param what - what the errors call it; `isSecret` when nobody else may read or change it
 * @throws LamplighterError ERR_KEY_FILE for what is secret, else ERR_CERTIFICATE_FILE; naming the path and the cure
 */
export async function readPem(
  path: string,
  { fs }: Pick<Environment, 'fs'>,
  { what, isSecret = false, hint = 'check the path and who may read it' }: PemFile,
): Promise<Buffer> {
  const code = isSecret ? 'ERR_KEY_FILE' : 'ERR_CERTIFICATE_FILE';
  try {
    // A pipe must not hold this process until somebody writes to it.
    const file = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      // The open file is asked, not the path: what was checked is what is read.
      const stat = await file.stat();
      if (!stat.isFile()) throw fault(code, `the ${what} ${path} is not a file`, 'name a PEM file');
      if (stat.size > MAX_FILE_BYTES) {
        throw fault(code, `the ${what} ${path} is larger than ${MAX_FILE_BYTES} bytes`, 'name a PEM file');
      }
      if (isSecret && (stat.mode & 0o077) !== 0) {
        const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
        const text = `the ${what} ${path} may be read or changed by others (mode ${mode})`;
        throw fault(code, text, `chmod 600 ${path}`);
      }
      const bytes = Buffer.alloc(stat.size);
      const { bytesRead } = await file.read(bytes, 0, stat.size, 0);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw fault(code, `the ${what} ${path} cannot be read (${why})`, hint, cause);
  }
}

function fault(code: ErrorCode, message: string, hint: string, cause?: unknown): LamplighterError {
  return new LamplighterError(code, message, { hint, cause });
}
