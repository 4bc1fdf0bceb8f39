import { createPrivateKey, createPublicKey } from 'node:crypto';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { LamplighterError, wipe } from '@lamplighter/core';
import { type KeyAndCsr, newKeyAndCsr, readCsr } from '../identity/csr.js';
import { replaceIdentity } from '../identity/identity-files.js';
import { readTrustFile, trustFile, type TrustDocument } from '../identity/trust-list.js';
import { replaceDurably } from '../local/durable-file.js';
import type { Environment } from '../local/environment.js';
import { isThere } from '../local/is-there.js';
import { type LockFile, openLockFile } from '../local/lock-file.js';
import type { NativeDoors } from '../local/native-doors.js';

/** Where enrolment puts what, all in one folder. */
export interface EnrollPaths {
  readonly folder: string;
  /** Key and certificate, 0600: one file, so that both change in one rename. */
  readonly identity: string;
  /** Whom to trust. */
  readonly ca: string;
  /** A key and its request between the question and the answer, 0600. */
  readonly pending: string;
  /** The agent's configuration. */
  readonly config: string;
}

const MAX_PENDING_BYTES = 16_384;
const MAX_TRUST_BYTES = 1_048_576;
const CSR_BEGINS = '-----BEGIN CERTIFICATE REQUEST-----';

/** @param folder - as given with --dir */
export function enrollPaths(folder: string): EnrollPaths {
  const at = (file: string): string => join(folder, file);
  return {
    folder,
    identity: at('identity.pem'),
    ca: at('ca.pem'),
    pending: at('identity.pending'),
    config: at('agent.yaml'),
  };
}

/**
 * Makes the folder and runs what two enrolments must not do there at once.
 * @param doors - without the addon there is no lock; each file changes whole all the same, and the last one wins
 * @throws LamplighterError ERR_OUTPUT_FILE when the folder cannot be written to, or another enrolment is at work in it
 */
export async function inEnrollFolder<T>(
  { folder }: EnrollPaths,
  doors: { environment: Environment; native: Pick<NativeDoors, 'lockFile'> },
  body: () => Promise<T>,
): Promise<T> {
  let lock: LockFile;
  try {
    await doors.environment.fs.mkdir(folder, { recursive: true, mode: 0o700 });
    lock = await openLockFile(join(folder, 'enroll.lock'), doors);
  } catch (cause) {
    throw unwritable(folder, cause);
  }
  try {
    const tried = await lock.take(0);
    if (tried.supported && !tried.value.locked) {
      throw new LamplighterError('ERR_OUTPUT_FILE', `another enrolment is at work in ${folder}`, {
        hint: 'wait for its end',
      });
    }
    return await body();
  } finally {
    await lock.release();
  }
}

/** The key of an enrolment, and its request. */
export interface PendingKey extends KeyAndCsr {
  /** Whether it was made while OpenSSL rested on the token. */
  readonly hedge: 'on' | 'off';
  /** Whether an attempt before this one made it. */
  readonly isResumed: boolean;
}

/**
 * The key and request of this enrolment: those of an attempt with the same token that did not end, or new ones, durable before they
 * are used. The same request with the same token is answered again without another use.
 * @param token - its id, hex
 * @param hedge - `now`: whether OpenSSL rests on the token now; `isRequired`: then a key that was made without is not used
 * @returns them; the caller wipes `keyPem`
 * @throws LamplighterError ERR_OUTPUT_FILE when they cannot be kept
 */
export async function pendingKey(
  { pending, folder }: EnrollPaths,
  token: string,
  hedge: { readonly now: 'on' | 'off'; readonly isRequired: boolean },
  fs: Environment['fs'],
): Promise<PendingKey> {
  for (const state of hedge.isRequired ? (['on'] as const) : (['on', 'off'] as const)) {
    const kept = await readPending(pending, headOf(token, state), fs);
    if (kept !== undefined) return { ...kept, hedge: state, isResumed: true };
  }
  const made = await newKeyAndCsr();
  const bytes = Buffer.concat([headOf(token, hedge.now), made.keyPem, Buffer.from(made.csrPem)]);
  try {
    await replaceDurably(fs, pending, bytes);
  } catch (cause) {
    wipe(made.keyPem);
    throw unwritable(folder, cause);
  } finally {
    wipe(bytes);
  }
  return { ...made, hedge: hedge.now, isResumed: false };
}

/**
 * Puts a new identity in force: key and certificate, and whom to trust; all of it or nothing, see {@link replaceIdentity}.
 * @param trust - accepted by the caller
 * @throws LamplighterError as {@link replaceIdentity}; the old identity is in force then
 */
export async function keepIdentity(
  { identity, ca }: EnrollPaths,
  keys: Pick<KeyAndCsr, 'keyPem'> & { readonly certificatePem: string; readonly trust: TrustDocument },
  fs: Environment['fs'],
): Promise<void> {
  const isKnown = await trusts(ca, keys.trust, fs);
  await replaceIdentity(
    { ca, cert: identity, key: identity },
    {
      keyPem: keys.keyPem,
      certificatePem: keys.certificatePem,
      ...(!isKnown && { trust: trustFile(keys.trust) }),
    },
    fs,
  );
}

/** Nothing is pending any more. Not being able to say so is no failure: what is left is good for nothing but asking again. */
export async function forgetPending({ pending }: EnrollPaths, fs: Environment['fs']): Promise<void> {
  await fs.rm(pending, { force: true }).catch(() => undefined);
}

/**
 * Writes the agent's configuration where there is none: JSON, which is YAML, and read faster.
 * @returns whether it was written
 * @throws LamplighterError ERR_OUTPUT_FILE
 */
export async function writeConfigOnce(
  { config, folder }: EnrollPaths,
  content: object,
  fs: Environment['fs'],
): Promise<boolean> {
  if (await isThere({ fs }, config)) return false;
  try {
    await replaceDurably(fs, config, Buffer.from(`${JSON.stringify(content, null, 2)}\n`), 0o644);
    return true;
  } catch (cause) {
    throw unwritable(folder, cause);
  }
}

/** Whether a trust file says this already, or something newer of the same CA. */
async function trusts(path: string, document: TrustDocument, fs: Environment['fs']): Promise<boolean> {
  try {
    const { size } = await fs.stat(path);
    if (size > MAX_TRUST_BYTES) return false;
    const ours = readTrustFile(await fs.readFile(path));
    const [signer] = readTrustFile(Buffer.from(trustFile(document))).roots;
    const isOfThisCa = ours.roots.some((root) => signer !== undefined && root.raw.equals(signer.raw));
    return isOfThisCa && ours.sequence >= document.sequence;
  } catch {
    // Missing, or nothing we could use: it is written anew.
    return false;
  }
}

/** The first line of what is pending: of which token it is, and how its key was made. */
const headOf = (token: string, hedge: 'on' | 'off'): Buffer =>
  Buffer.from(`# lamplighter pending ${token} hedge ${hedge}\n`);

/** What cannot be used, for whatever reason, is as good as absent: a new key is made, and the file replaced. */
async function readPending(
  path: string,
  head: Buffer,
  fs: Environment['fs'],
): Promise<KeyAndCsr | undefined> {
  const bytes = Buffer.alloc(MAX_PENDING_BYTES + 1);
  try {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const file = await fs.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    let lengthBytes: number;
    try {
      const stat = await file.stat();
      const isOurs = stat.isFile() && stat.uid === process.geteuid?.() && (stat.mode & 0o077) === 0;
      if (!isOurs || stat.size > MAX_PENDING_BYTES) return undefined;
      lengthBytes = (await file.read(bytes, 0, bytes.length, 0)).bytesRead;
    } finally {
      await file.close();
    }
    const csrAt = bytes.indexOf(CSR_BEGINS);
    if (!bytes.subarray(0, head.length).equals(head) || csrAt < 0) return undefined;
    const keyPem = Buffer.from(bytes.subarray(head.length, csrAt));
    const csrPem = bytes.toString('latin1', csrAt, lengthBytes);
    const { der, spki } = await readCsr(csrPem);
    const own = createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'der' });
    if (own.equals(spki)) return { keyPem, csrPem, csrDer: der };
    wipe(keyPem);
    return undefined;
  } catch {
    return undefined;
  } finally {
    wipe(bytes);
  }
}

function unwritable(folder: string, cause: unknown): LamplighterError {
  const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'an unexpected error';
  return new LamplighterError('ERR_OUTPUT_FILE', `cannot write to ${folder}: ${reason}`, {
    hint: 'run as root, or name another folder with --dir',
    cause,
  });
}
