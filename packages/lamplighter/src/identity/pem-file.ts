import { X509Certificate } from 'node:crypto';
import { constants } from 'node:fs/promises';
import { type ErrorCode, LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { pemCertificates } from './certificate-chain.js';

/** PEM files are a few thousand bytes; whatever is longer is something else. */
const MAX_FILE_BYTES = 1_048_576;

/**
 * Reads a private key, which nobody else may read or change.
 * @throws LamplighterError ERR_KEY_FILE, naming the path and the cure
 */
export async function readKeyFile(path: string, { fs }: Pick<Environment, 'fs'>): Promise<Buffer> {
  return await read(path, 'ERR_KEY_FILE', fs);
}

/**
 * Reads the certificates in a PEM file, whatever else stands in it.
 * @returns at least one
 * @throws LamplighterError ERR_CERTIFICATE_FILE (unreadable, none there, a damaged one), naming the path and the cure
 */
export async function readCertificates(
  path: string,
  { fs }: Pick<Environment, 'fs'>,
): Promise<[X509Certificate, ...X509Certificate[]]> {
  const pem = await read(path, 'ERR_CERTIFICATE_FILE', fs);
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

async function read(path: string, code: ErrorCode, fs: Environment['fs']): Promise<Buffer> {
  try {
    // A pipe must not hold this process until somebody writes to it.
    const file = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      // The open file is asked, not the path: what was checked is what is read.
      const stat = await file.stat();
      if (!stat.isFile()) throw fault(code, `${path} is not a file`, 'name a PEM file');
      if (stat.size > MAX_FILE_BYTES) throw fault(code, `${path} is too large`, 'name a PEM file');
      if (code === 'ERR_KEY_FILE' && (stat.mode & 0o077) !== 0) {
        throw fault(code, `the key ${path} may be read or changed by others`, `chmod 600 ${path}`);
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
    throw fault(code, `${path} cannot be read (${why})`, 'check the path and who may read it', cause);
  }
}

function fault(code: ErrorCode, message: string, hint: string, cause?: unknown): LamplighterError {
  return new LamplighterError(code, message, { hint, cause });
}
