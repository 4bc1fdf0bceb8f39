import { createHash, type KeyObject, createPublicKey, sign, verify, X509Certificate } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';
import { pemCertificates } from './certificate-chain.js';

/**
 * Which roots to trust, as the CA says it: how everybody learns of a new root while the old one still holds.
 *
 * A signature is Ed25519 over {@link trustBytes} by a root's key; every root on the list signs it. Of other CAs' roots none
 * ever signs one.
 */
export interface TrustDocument {
  /** Counts up with every list of a CA, 1 .. 2^53 - 1. */
  readonly sequence: number;
  /** Certificates, PEM, 1..8; the one that signs new certificates first. */
  readonly roots: readonly string[];
  /** 1..8; `key`: SHA-256 of the signing key's SubjectPublicKeyInfo, hex; `signature`: 64 bytes, base64. */
  readonly signatures: readonly { readonly key: string; readonly signature: string }[];
}

/** What a trust file says. */
export interface TrustFile {
  /** 0 when the file does not say: it is not from a CA of ours, or from before there were lists. */
  readonly sequence: number;
  readonly roots: readonly X509Certificate[];
}

const MAX_ROOTS = 8;
const MAX_ROOT_LENGTH = 8_192;
const MAX_FILE_BYTES = 1_048_576;
const MAGIC = 'lamplighter/trust/v1';
const FIRST_LINE = /^# lamplighter trust ([0-9]{1,16})\r?\n/;

/**
 * The bytes that a signature of a {@link TrustDocument} covers: the 20 ASCII bytes `lamplighter/trust/v1` ‖ u64 sequence ‖ u16 number
 * of roots ‖ for each root u32 length ‖ DER certificate. Big-endian.
 */
export function trustBytes(sequence: number, roots: readonly X509Certificate[]): Buffer {
  const head = Buffer.alloc(10);
  head.writeBigUInt64BE(BigInt(sequence), 0);
  head.writeUInt16BE(roots.length, 8);
  const parts = roots.flatMap(({ raw }) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(raw.length);
    return [length, raw];
  });
  return Buffer.concat([Buffer.from(MAGIC, 'latin1'), head, ...parts]);
}

/**
 * Makes a trust list.
 * @param sequence - 1 .. 2^53 - 1
 * @param roots - PEM, 1..8, the signer of new certificates first
 * @param keys - Ed25519 private keys, 1..8
 * @throws LamplighterError ERR_TRUST for a list that {@link decodeTrust} would refuse
 */
export function signTrust(
  sequence: number,
  roots: readonly string[],
  keys: readonly KeyObject[],
): TrustDocument {
  const parsed = parseRoots(roots);
  const bytes = trustBytes(sequence, parsed);
  return decodeTrust({
    sequence,
    roots: parsed.map(String),
    signatures: keys.map((key) => ({
      key: publicKeyHash(createPublicKey(key)).toString('hex'),
      signature: sign(null, bytes, key).toString('base64'),
    })),
  });
}

/** The content of a trust file: the line `# lamplighter trust N`, then the roots as PEM. Every TLS library passes the line over. */
export function trustFile(document: TrustDocument): string {
  return `# lamplighter trust ${document.sequence}\n${document.roots.map((pem) => `${pem.trim()}\n`).join('')}`;
}

/**
 * Reads a trust file, be it ours or any `ca.pem`.
 * @param pem - at most 1 MiB
 * @throws LamplighterError ERR_CERTIFICATE_FILE when it is longer, or holds no certificate or a damaged one
 */
export function readTrustFile(pem: Buffer): TrustFile {
  if (pem.length > MAX_FILE_BYTES) throw damaged(`is larger than ${MAX_FILE_BYTES} bytes`);
  const [, digits = '0'] = FIRST_LINE.exec(pem.subarray(0, 64).toString('latin1')) ?? [];
  const sequence = Number(digits);
  if (!Number.isSafeInteger(sequence)) throw damaged('has an impossible number in its first line');
  const blocks = pemCertificates(pem);
  if (blocks.length === 0) throw damaged('holds no PEM certificate');
  try {
    return { sequence, roots: blocks.map((block) => new X509Certificate(block)) };
  } catch (cause) {
    throw damaged('holds a damaged certificate', cause);
  }
}

/**
 * What our trust file becomes when somebody shows us a trust list. Whoever shows it need not be trusted: the list must be
 * newer than ours, and signed by a root that we trust now, that is still valid, and that stays on the list.
 * @param current - our trust file
 * @returns the new content; undefined when the list is not newer than ours, whatever else it says
 * @throws LamplighterError ERR_TRUST for a newer list that no root of ours signed, or one that cannot be; ERR_CERTIFICATE_FILE when
 *   `current` cannot be read
 */
export function acceptTrust(current: Buffer, document: TrustDocument): string | undefined {
  const ours = readTrustFile(current);
  const listed = decodeTrust(document);
  if (listed.sequence <= ours.sequence) return undefined;
  const roots = parseRoots(listed.roots);
  const kept = ours.roots.filter(
    (root) => !hasExpired(root) && roots.some((other) => other.raw.equals(root.raw)),
  );
  const bytes = trustBytes(listed.sequence, roots);
  if (!kept.some((root) => hasSigned(root, bytes, listed))) {
    throw refused(`${listed.sequence} is signed by no root that is trusted here`, {
      hint: 'whoever sent it is not our CA, or this machine has missed a whole rotation: then enrol it again',
    });
  }
  return trustFile(listed);
}

/**
 * Reads a trust list that came from outside. It verifies no signature: see {@link acceptTrust}.
 * @param value - parsed JSON
 * @returns the list, its certificates in the one usual PEM form, nothing else in it
 * @throws LamplighterError ERR_TRUST for another shape, no root or more than 8, a certificate twice, one that is not a self-signed
 *   CA's, roots that have all expired, a sequence that is no whole number from 1 to 2^53 - 1
 */
export function decodeTrust(value: unknown): TrustDocument {
  if (!isRecord(value)) throw refused('is not an object');
  const { sequence, roots, signatures } = value;
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 1) {
    throw refused('has no sequence number');
  }
  const parsed = parseRoots(listOf(roots, 'roots'));
  if (parsed.every(hasExpired)) throw refused(`${sequence} holds only roots that have expired`);
  return {
    sequence,
    roots: parsed.map(String),
    signatures: listOf(signatures, 'signatures').map((entry) => {
      const { key, signature } = isRecord(entry) ? entry : {};
      if (typeof key !== 'string' || !/^[0-9a-f]{64}$/.test(key)) throw refused('names no key');
      if (typeof signature !== 'string' || !/^[A-Za-z0-9+/]{86}==$/.test(signature)) {
        throw refused('holds a malformed signature');
      }
      return { key, signature };
    }),
  };
}

/**
 * Whether a list holds a good signature by a root.
 * @param document - decoded
 */
export function isSignedBy(document: TrustDocument, root: X509Certificate): boolean {
  return hasSigned(root, trustBytes(document.sequence, parseRoots(document.roots)), document);
}

/** SHA-256 of a public key's SubjectPublicKeyInfo, DER: 32 bytes. */
export function publicKeyHash(key: KeyObject): Buffer {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

function hasSigned(root: X509Certificate, bytes: Buffer, { signatures }: TrustDocument): boolean {
  const { publicKey } = root;
  if (publicKey.asymmetricKeyType !== 'ed25519') return false;
  const key = publicKeyHash(publicKey).toString('hex');
  return signatures.some(
    (entry) => entry.key === key && verify(null, bytes, publicKey, Buffer.from(entry.signature, 'base64')),
  );
}

function hasExpired({ validTo }: X509Certificate): boolean {
  return !(Date.parse(validTo) > Date.now());
}

function parseRoots(roots: readonly unknown[]): X509Certificate[] {
  const parsed = roots.map((pem) => {
    if (typeof pem !== 'string' || pem.length > MAX_ROOT_LENGTH) throw refused('holds something too long');
    const [block, ...more] = pemCertificates(Buffer.from(pem, 'latin1'));
    if (block === undefined || more.length > 0) throw refused('must hold one certificate an entry');
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw refused('holds a damaged certificate', { cause });
    }
  });
  if (parsed.some((root) => !root.ca || !root.checkIssued(root) || !root.verify(root.publicKey))) {
    throw refused("holds a certificate that is not a CA's own");
  }
  if (new Set(parsed.map(({ fingerprint256 }) => fingerprint256)).size < parsed.length) {
    throw refused('holds a certificate twice');
  }
  return parsed;
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_ROOTS) {
    throw refused(`must hold 1 to ${MAX_ROOTS} ${what}`);
  }
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(what: string, options: { hint?: string; cause?: unknown } = {}): LamplighterError {
  return new LamplighterError('ERR_TRUST', `the trust list ${what}`, options);
}

function damaged(what: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_CERTIFICATE_FILE', `the file of trusted roots ${what}`, {
    hint: 'use the ca.pem of the CA',
    cause,
  });
}
