import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import { identityUri, isName, type Role } from './roles.js';

/** A key that was just made, and the request for its certificate. */
export interface KeyAndCsr {
  /** Ed25519, PKCS#8 PEM; the caller wipes it. */
  readonly keyPem: Buffer;
  readonly csrPem: string;
  readonly csrDer: Buffer;
}

/** What a certificate signing request says. */
export interface Csr {
  /** The public key, SubjectPublicKeyInfo DER. */
  readonly spki: Buffer;
  readonly der: Buffer;
  /** Every common name, URI, DNS name, address and mail address it asks for; what else it asks for as `TYPE:value`. */
  readonly subjectNames: readonly string[];
}

/** Whom a certificate is for, as whoever issues it knows. */
export interface Holder {
  readonly role: Role;
  readonly name: string;
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
}

/** No request we take is longer, as PEM. */
export const MAX_CSR_LENGTH = 8_192;
const PEM = /^\s*-----BEGIN CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE REQUEST-----\s*$/;

/**
 * Makes an Ed25519 key and the request for its certificate (RFC 2986). By hand, not by a library: the agent renews with it, and
 * these few lines cost its start nothing.
 * @param name - the common name; none by default: whoever issues knows whom he issues to
 * @throws RangeError for what is no name, see `isName`
 */
export async function newKeyAndCsr(name?: string): Promise<KeyAndCsr> {
  if (name !== undefined && !isName(name)) throw new RangeError('no name');
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const commonName =
    name === undefined
      ? []
      : [der(SET, der(SEQUENCE, OID_COMMON_NAME, der(UTF8_STRING, Buffer.from(name, 'latin1'))))];
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const info = der(SEQUENCE, VERSION_0, der(SEQUENCE, ...commonName), spki, NO_ATTRIBUTES);
  const signature = Buffer.concat([Buffer.of(0), sign(null, info, privateKey)]);
  const csrDer = der(SEQUENCE, info, der(SEQUENCE, OID_ED25519), der(BIT_STRING, signature));
  const lines = csrDer.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    keyPem: Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    csrPem: `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`,
    csrDer,
  };
}

/**
 * Reads a request from outside: exactly one, with a good signature by its own key, which is Ed25519, P-256, P-384 or RSA of 2048 to
 * 4096 bits.
 * @param pem - at most 8 KiB
 * @throws LamplighterError ERR_CSR for anything else
 */
export async function readCsr(pem: string): Promise<Csr> {
  if (pem.length > MAX_CSR_LENGTH) throw refused(`is longer than ${MAX_CSR_LENGTH} bytes`);
  const base64 = PEM.exec(pem)?.[1];
  if (base64 === undefined) throw refused('must be one PEM block CERTIFICATE REQUEST and nothing else');
  const bytes = Buffer.from(base64, 'base64');
  if (!isOneValue(bytes)) throw refused('is not one DER value');
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  let request;
  let key;
  let subjectNames: string[];
  let isSigned;
  try {
    request = new x509.Pkcs10CertificateRequest(bytes);
    key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
    // The key is looked at first: nobody makes us verify with one of 100,000 bits.
    checkKey(key);
    checkAlgorithm(request.signatureAlgorithm);
    subjectNames = [
      ...request.subjectName.getField('CN'),
      ...request.subjectName.getField('E'),
      ...request
        .getAttributes(EXTENSION_REQUEST)
        .flatMap((attribute) => (attribute instanceof x509.ExtensionsAttribute ? attribute.items : []))
        .flatMap((extension) =>
          extension instanceof x509.SubjectAlternativeNameExtension ? extension.names.items : [],
        )
        .map(({ type, value }) => (PLAIN_NAMES.includes(type) ? value : `${type}:${value}`)),
    ];
    isSigned = await request.verify();
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    throw refused('cannot be read', cause);
  }
  if (!isSigned) throw refused('is not signed by its own key');
  return { spki: key.export({ type: 'spki', format: 'der' }), der: bytes, subjectNames };
}

/**
 * Refuses a request that asks for anything but what its holder will get: names are given by the CA, and whoever asks for another
 * is mistaken or tries something.
 * @throws LamplighterError ERR_CSR_NAME
 */
export function refuseForeignNames({ subjectNames }: Pick<Csr, 'subjectNames'>, holder: Holder): void {
  const { role, name, dns = [], ip = [] } = holder;
  const own = [name, identityUri(role, name), ...dns, ...ip].map(oneForm);
  const foreign = subjectNames.find((asked) => !own.includes(oneForm(asked)));
  if (foreign === undefined) return;
  throw new LamplighterError(
    'ERR_CSR_NAME',
    `the request asks for the name ${JSON.stringify(foreign.slice(0, 80))}, its holder is ${role} ${name}`,
    { hint: 'make a request without names; the CA gives them' },
  );
}

const SEQUENCE = 0x30;
const SET = 0x31;
const BIT_STRING = 0x03;
const UTF8_STRING = 0x0c;
const VERSION_0 = Buffer.of(0x02, 1, 0);
const NO_ATTRIBUTES = Buffer.of(0xa0, 0);
/** 1.3.101.112, RFC 8410. */
const OID_ED25519 = Buffer.of(0x06, 3, 0x2b, 0x65, 0x70);
/** 2.5.4.3. */
const OID_COMMON_NAME = Buffer.of(0x06, 3, 0x55, 0x04, 0x03);
/** RFC 2985, 5.4.2. */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const PLAIN_NAMES: readonly string[] = ['url', 'dns', 'ip', 'email'];

/** Case means nothing in host names, and an IPv6 address can be written in many ways. */
function oneForm(name: string): string {
  return isIP(name) === 6 && !name.includes('%') ? new URL(`https://[${name}]`).hostname : name.toLowerCase();
}

/** One DER value of less than 256 bytes. */
function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const length = content.length < 0x80 ? [content.length] : [0x81, content.length];
  return Buffer.concat([Buffer.of(tag, ...length), content]);
}

/** Whether the bytes are one SEQUENCE of definite length and nothing after it. */
function isOneValue(bytes: Buffer): boolean {
  const [tag, first = 0] = bytes;
  if (tag !== SEQUENCE) return false;
  if (first < 0x80) return bytes.length === 2 + first;
  const lengthBytes = first & 0x7f;
  if (lengthBytes < 1 || lengthBytes > 2 || bytes.length < 2 + lengthBytes) return false;
  return bytes.length === 2 + lengthBytes + bytes.readUIntBE(2, lengthBytes);
}

function checkKey(key: KeyObject): void {
  const { modulusLength = 0, publicExponent = 0n, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return;
    case 'ec':
      if (namedCurve === 'prime256v1' || namedCurve === 'secp384r1') return;
      break;
    case 'rsa':
      if (
        modulusLength >= 2_048 &&
        modulusLength <= 4_096 &&
        publicExponent >= 65_537n &&
        publicExponent < 1n << 32n
      )
        return;
      break;
    default:
  }
  throw refused('has a key that is none of Ed25519, P-256, P-384, RSA of 2048 to 4096 bits');
}

function checkAlgorithm({ name, hash }: { name?: string; hash?: { name?: string } }): void {
  const hashName = hash?.name;
  if (name === 'Ed25519') return;
  const isStrong = hashName === 'SHA-256' || hashName === 'SHA-384' || hashName === 'SHA-512';
  if ((name === 'ECDSA' || name === 'RSASSA-PKCS1-v1_5') && isStrong) return;
  throw refused('is signed with an algorithm that is not taken: use SHA-256, SHA-384 or SHA-512');
}

function refused(what: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_CSR', `the certificate signing request ${what}`, {
    hint: 'make one with `lamplighter ca request`, or with openssl req',
    ...(cause !== undefined && { cause }),
  });
}
