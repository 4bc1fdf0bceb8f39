import type { X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LamplighterError, type ErrorCode } from '@lamplighter/core';
import { type AuthorityFolder, readAuthorityFolder } from './authority-folder.js';
import { makeLeafCertificate, makeRootCertificate, newKey } from './certificate.js';
import { alternativeNames, usage, type NewAuthority, type NewCertificate } from './certificate-request.js';
import { type Holder, readCsr, refuseForeignNames } from './csr.js';
import type { IssuedHow } from './issued-entry.js';
import { recordIssued } from './issued-register.js';
import { type FileToWrite, makePrivateDirectory, refuseExisting, writeFilesTogether } from './key-files.js';
import { checkLife } from './life.js';
import { SERVER_ROLES } from './roles.js';
import { acceptTrust, publicKeyHash, signTrust, type TrustDocument, trustFile } from './trust-list.js';

/** What was written. */
export interface IssuedCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
  readonly notAfter: Date;
}

/** A certificate for a key that its holder made. */
export interface CertificateOrder extends Holder {
  /** The holder's public key, SubjectPublicKeyInfo DER, as `readCsr` checked it. */
  readonly spki: Uint8Array;
  /** From now on, 1 s .. 36,500 d; cut to the CA's own end. */
  readonly lifeMs: number;
  readonly how: IssuedHow;
}

/** Nothing that has a meaning of its own in a distinguished name (RFC 4514). */
const AUTHORITY_NAME = /^[A-Za-z0-9][A-Za-z0-9 .-]{0,63}$/;
const DAY_MS = 86_400_000;
const AUTHORITY_LIFE_MS = 3_650 * DAY_MS;
const CERTIFICATE_LIFE_MS = 30 * DAY_MS;

/**
 * A CA as its folder was at one moment. Opened anew for every use, since another process may rotate it: that takes a few
 * milliseconds.
 */
export class Authority {
  readonly #folder: string;
  readonly #files: AuthorityFolder;
  /** SHA-256 of the signing root's SubjectPublicKeyInfo: 32 bytes. */
  readonly keyHash: Buffer;

  private constructor(folder: string, files: AuthorityFolder) {
    this.#folder = folder;
    this.#files = files;
    this.keyHash = publicKeyHash(files.signer.publicKey);
  }

  /** @throws LamplighterError ERR_CA_FILE, see {@link readAuthorityFolder} */
  static async open(folder: string): Promise<Authority> {
    return new Authority(folder, await readAuthorityFolder(folder));
  }

  /** What to trust, in the order of the trust list. */
  get roots(): readonly X509Certificate[] {
    return this.#files.roots;
  }

  /** The signed list of {@link Authority.roots}. */
  trust(): TrustDocument {
    return this.#files.trust;
  }

  /**
   * Issues a certificate and records it.
   *
   * Source: DESIGN section 8. Role and name go into exactly one URI; office and relay are servers and clients and carry DNS and IP
   * names, the others are clients only and carry none.
   * @returns one PEM block; the serial as upper-case hex; its end
   * @throws LamplighterError ERR_USAGE for a name or address that cannot be, ERR_CA_FILE when it cannot be recorded
   * @throws RangeError for a life out of range
   */
  async issue(order: CertificateOrder): Promise<{ pem: string; serial: string; notAfter: Date }> {
    const { role, name, spki, lifeMs, how } = order;
    checkLife(lifeMs);
    const made = await makeLeafCertificate(this.#files.signer, this.#files.key, {
      name,
      names: alternativeNames(order),
      isServer: SERVER_ROLES.includes(role),
      publicKey: spki,
      lifeMs,
    });
    await recordIssued(this.#folder, {
      atMs: Date.now(),
      role,
      name,
      serial: made.serial,
      notAfterMs: made.notAfter.getTime(),
      root: this.keyHash.toString('hex'),
      trust: this.#files.trust.sequence,
      how,
    });
    return made;
  }
}

/**
 * Makes a private CA: DIR/ca.key (0600), an Ed25519 key that signs leaves only (pathlen 0), DIR/ca.pem and the first trust list,
 * DIR/trust.json.
 * @returns the paths and the end of its life
 * @throws LamplighterError ERR_CA_EXISTS when any of the files is there, ERR_USAGE for a name that cannot be, ERR_CA_FILE when
 *   it cannot be written; nothing is left behind
 * @throws RangeError for a life out of range
 */
export async function createAuthority(request: NewAuthority): Promise<IssuedCertificate> {
  const { directory, name = 'Lamplighter CA', lifeMs = AUTHORITY_LIFE_MS } = request;
  if (!AUTHORITY_NAME.test(name)) {
    throw usage(
      'a CA name is 1 to 64 letters, digits, spaces, dots and hyphens, and begins with a letter or digit',
    );
  }
  checkLife(lifeMs);
  const certificate = join(directory, 'ca.pem');
  const key = join(directory, 'ca.key');
  const made = newKey();
  const root = await makeRootCertificate(name, made, lifeMs);
  const trust = signTrust(1, [root.pem], [made.key]);
  try {
    await makePrivateDirectory(directory);
    await writeFilesTogether([
      { path: key, content: made.pem, mode: 0o600 },
      { path: certificate, content: trustFile(trust), mode: 0o644 },
      { path: join(directory, 'trust.json'), content: `${JSON.stringify(trust)}\n`, mode: 0o644 },
    ]);
  } catch (cause) {
    if (cause instanceof LamplighterError && cause.code === 'ERR_FILE_EXISTS') {
      throw new LamplighterError('ERR_CA_EXISTS', `there is a CA in ${directory} already`, {
        hint: 'use another directory; a CA is never overwritten',
        cause,
      });
    }
    throw cannotWrite('ERR_CA_FILE', directory, cause);
  } finally {
    made.pem.fill(0);
  }
  return { certificate, key, ca: certificate, notAfter: root.notAfter };
}

/**
 * Makes a key and a certificate for one role and name, and writes them beside the CA's trust list. A ca.pem that is there and from
 * the same CA is brought up to date.
 * @returns the paths and the end of its life
 * @throws LamplighterError ERR_USAGE for a name or address that cannot be, ERR_CA_FILE when the CA cannot be read or has expired,
 *   ERR_FILE_EXISTS when a file is there and `overwrite` is not set; nothing is left behind
 * @throws RangeError for a life out of range
 */
export async function issueCertificate(request: NewCertificate): Promise<IssuedCertificate> {
  const { outDirectory, name } = request;
  const made = newKey();
  const key = join(outDirectory, `${name}.key`);
  try {
    const keyFile = { path: key, content: made.pem, mode: 0o600 };
    return { ...(await issueInto(request, made.spki, [keyFile])), key };
  } finally {
    made.pem.fill(0);
  }
}

/**
 * Issues a certificate for somebody else's key, for a CA that is not reached over the network.
 * @param csrPem - see `readCsr`
 * @returns the paths and the end of its life
 * @throws LamplighterError as {@link issueCertificate}; ERR_CSR for a request that cannot be taken, ERR_CSR_NAME for one that asks for
 *   names other than those of `request`
 */
export async function issueForRequest(
  request: NewCertificate,
  csrPem: string,
): Promise<Omit<IssuedCertificate, 'key'>> {
  const csr = await readCsr(csrPem);
  refuseForeignNames(csr, request);
  return issueInto(request, csr.spki, []);
}

async function issueInto(
  request: NewCertificate,
  spki: Uint8Array,
  more: readonly FileToWrite[],
): Promise<Omit<IssuedCertificate, 'key'>> {
  const { authorityDirectory, outDirectory, name, lifeMs = CERTIFICATE_LIFE_MS, overwrite = false } = request;
  checkLife(lifeMs);
  alternativeNames(request);
  const authority = await Authority.open(authorityDirectory);
  const certificate = join(outDirectory, `${name}.pem`);
  const ca = join(outDirectory, 'ca.pem');
  const isOwnFolder = resolve(outDirectory) === resolve(authorityDirectory);
  try {
    // Looked at before as well, so that no certificate is recorded that nobody gets.
    if (!overwrite) await refuseExisting([...more.map(({ path }) => path), certificate]);
    const trust = isOwnFolder ? [] : [await trustFor(ca, authority.trust())];
    const { pem, notAfter } = await authority.issue({ ...request, spki, lifeMs, how: 'issue' });
    await makePrivateDirectory(outDirectory);
    const files = [...more, { path: certificate, content: pem, mode: 0o644 }, ...trust];
    await writeFilesTogether(files, overwrite);
    return { certificate, ca, notAfter };
  } catch (cause) {
    throw cannotWrite('ERR_CERTIFICATE_FILE', outDirectory, cause);
  }
}

/** The ca.pem to write: a new list of the same CA replaces an older one, anything else there stays. */
async function trustFor(path: string, document: TrustDocument): Promise<FileToWrite> {
  const file = { path, content: trustFile(document), mode: 0o644, sameIsFine: true };
  try {
    const content = acceptTrust(await fs.readFile(path), document);
    return content === undefined ? file : { ...file, content, replace: true };
  } catch {
    // It is not there, or another CA's: then it is a conflict.
    return file;
  }
}

function cannotWrite(code: ErrorCode, directory: string, cause: unknown): unknown {
  if (cause instanceof LamplighterError) return cause;
  return new LamplighterError(code, `nothing can be written to ${directory}`, {
    hint: 'check that it is a directory and who may write to it',
    cause,
  });
}
