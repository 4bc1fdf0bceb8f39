import { createPrivateKey, X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import nodeFs from 'node:fs/promises';
import { dirname } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { chainToRoot, pemCertificates } from './certificate-chain.js';
import {
  absent,
  discard,
  type FileSystem,
  isFileSystemError,
  locked,
  settle,
  stage,
  type Staged,
  syncFolder,
} from './staged-file.js';
import type { TlsPaths } from './tls-files.js';

/*
 * A key and its certificate are two files, and no file system changes two files at once. So both go into one file beside the
 * key first, KEY.next; once that is durable the change is decided, and whoever finds it finishes it:
 *
 *   KEY.next durable → CA file → key → certificate → KEY.next removed
 *
 * What KEY.next holds counts only if the CA file on disk issued it: before the CA file is changed, a certificate of another
 * root is dropped, and the old pair still goes with the old CA file; afterwards it is finished. Where key and certificate are
 * one file, KEY.next is renamed onto it.
 */

/** A key and certificate to be used from now on. */
export interface NewIdentity {
  /** PKCS#8 PEM; the caller wipes it. */
  readonly keyPem: Uint8Array;
  /** PEM, the leaf first. */
  readonly certificatePem: string;
  /** The whole new content of the CA file; it stays as it is when absent. */
  readonly trust?: string;
}

// Implementation constants.
const MAX_NEXT_BYTES = 65_536;

const NEW_LINE = Buffer.from('\n');

/**
 * Replaces key and certificate, and the CA file if told, so that whatever moment the power fails, {@link recoverIdentity} leaves
 * the old ones or the new ones, never a mixture. Owner and mode of files that are there are kept; a new key has mode 0600.
 *
 * @param paths - `cert` and `key` may be one file, which then holds both
 * @throws LamplighterError ERR_CERTIFICATE_FILE when the three do not go together, ERR_OUTPUT_FILE when they cannot be written;
 *   the old identity is in force then, or, once the change was decided, the new one from the next load on
 */
export async function replaceIdentity(
  paths: TlsPaths,
  { keyPem, certificatePem, trust }: NewIdentity,
  fs: FileSystem = nodeFs,
): Promise<void> {
  const files = await realPaths(paths, fs);
  const certificates = Buffer.from(certificatePem);
  const authorities = trust === undefined ? await contentOf(files.ca, fs) : Buffer.from(trust);
  if (!goTogether(keyPem, certificates, authorities)) {
    const message = 'the new certificate does not go with its key and CA';
    throw new LamplighterError('ERR_CERTIFICATE_FILE', message, { hint: 'nothing was changed; try again' });
  }
  // A block of PEM begins on a line of its own.
  const both = Buffer.concat([keyPem, NEW_LINE, certificates]);
  try {
    await locked(dirname(files.key), fs, async () => {
      await finish(files, fs);
      const staged: Staged[] = [];
      try {
        const next = await stage(nextOf(files), both, { like: files.key, mode: 0o600 }, fs);
        staged.push(next);
        if (trust !== undefined)
          staged.push(await stage(files.ca, authorities, { like: files.ca, mode: 0o644 }, fs));
        for (const file of staged) await settle(file, fs);
      } finally {
        await discard(staged, fs);
      }
      await finish(files, fs);
    });
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    const message = `the new certificate cannot be written: ${reasonIn(cause)}`;
    throw new LamplighterError('ERR_OUTPUT_FILE', message, {
      hint: `let the user that runs this write to the folders of ${files.key} and ${files.ca}`,
      cause,
    });
  } finally {
    both.fill(0);
  }
}

/**
 * Finishes a replacement that was interrupted, or drops it when what it left cannot be used. To be called before the files are
 * read; costs two system calls when nothing was.
 *
 * What cannot be finished now (a disk that is full or may not be written) is left for the next: whoever reads the files says
 * whether they go together.
 */
export async function recoverIdentity(paths: TlsPaths, fs: FileSystem = nodeFs): Promise<void> {
  try {
    const files = await realPaths(paths, fs);
    if (!(await isThere(nextOf(files), fs))) return;
    await locked(dirname(files.key), fs, () => finish(files, fs));
  } catch (error) {
    if (!(error instanceof LamplighterError || isFileSystemError(error))) throw error;
  }
}

const nextOf = ({ key }: TlsPaths): string => `${key}.next`;

/** Behind links: a rename would replace the link, and its target would stay as it was. */
async function realPaths({ ca, cert, key }: TlsPaths, fs: FileSystem): Promise<TlsPaths> {
  const real = (path: string): Promise<string> => fs.realpath(path).catch(() => path);
  return { ca: await real(ca), cert: await real(cert), key: await real(key) };
}

/** Puts what KEY.next holds in force, if it can be used, and removes it. Whoever does it again changes nothing. */
async function finish(files: TlsPaths, fs: FileSystem): Promise<void> {
  const path = nextOf(files);
  if (!(await isThere(path, fs))) return;
  const both = await readNext(path, fs);
  const staged: Staged[] = [];
  try {
    const at = Math.max(0, both.indexOf('-----BEGIN CERTIFICATE-----'));
    const [key, certificates] = [both.subarray(0, at), both.subarray(at)];
    if (!goTogether(key, certificates, await contentOf(files.ca, fs))) {
      await fs.rm(path, { force: true });
      return;
    }
    if (files.key === files.cert) {
      await fs.rename(path, files.key);
      await syncFolder(files.key, fs);
      return;
    }
    staged.push(await stage(files.key, key, { like: files.key, mode: 0o600 }, fs));
    staged.push(await stage(files.cert, certificates, { like: files.cert, mode: 0o644 }, fs));
    for (const file of staged) await settle(file, fs);
    await fs.rm(path, { force: true });
  } finally {
    both.fill(0);
    await discard(staged, fs);
  }
}

/** Whether the first of these certificates is of this key, and leads to one of these authorities. */
function goTogether(keyPem: Uint8Array, certificatesPem: Buffer, authoritiesPem: Buffer): boolean {
  try {
    const key = createPrivateKey(Buffer.from(keyPem.buffer, keyPem.byteOffset, keyPem.length));
    const [leaf, ...sent] = certificatesIn(certificatesPem);
    return (
      leaf?.checkPrivateKey(key) === true &&
      chainToRoot(leaf, sent, certificatesIn(authoritiesPem)) !== undefined
    );
  } catch {
    return false;
  }
}

const certificatesIn = (pem: Buffer): X509Certificate[] =>
  pemCertificates(pem).map((block) => new X509Certificate(block));

/** @returns nothing usable when it is no file of ours */
async function readNext(path: string, fs: FileSystem): Promise<Buffer> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await fs.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(isLink);
  if (file === undefined) return Buffer.alloc(0);
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > MAX_NEXT_BYTES) return Buffer.alloc(0);
    const bytes = Buffer.alloc(stat.size);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const contentOf = (path: string, fs: FileSystem): Promise<Buffer> =>
  fs.readFile(path).catch(() => Buffer.alloc(0));

function isLink(cause: unknown): undefined {
  if (isFileSystemError(cause) && cause.code === 'ELOOP') return undefined;
  throw cause;
}

async function isThere(path: string, fs: FileSystem): Promise<boolean> {
  return (await fs.lstat(path).catch(absent)) !== undefined;
}

const reasonIn = (error: unknown): string => (isFileSystemError(error) ? error.code : 'an unexpected error');
