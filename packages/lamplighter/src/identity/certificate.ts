import 'reflect-metadata';
import {
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  webcrypto,
  type X509Certificate,
} from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { AlternativeName } from './certificate-request.js';
import { BACKDATE_MS } from './life.js';

/** A certificate that was just made. */
export interface MadeCertificate {
  /** One PEM block with a line end. */
  readonly pem: string;
  /** Upper-case hex, as Node shows it. */
  readonly serial: string;
  /** In whole seconds, as the certificate says it. */
  readonly notAfter: Date;
}

/** A key that was just made. The runtime's copies of it cannot be wiped from JavaScript. */
export interface NewKey {
  /** Ed25519, private. */
  readonly key: KeyObject;
  /** The public half, SubjectPublicKeyInfo DER. */
  readonly spki: Buffer;
  /** The private key as PKCS#8 PEM; the caller wipes it. */
  readonly pem: Buffer;
}

/** Makes an Ed25519 key. */
export function newKey(): NewKey {
  const { publicKey, privateKey: key } = generateKeyPairSync('ed25519');
  return {
    key,
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    pem: Buffer.from(key.export({ type: 'pkcs8', format: 'pem' })),
  };
}

/**
 * Makes a CA's own certificate: it signs leaves only (pathlen 0).
 * @param name - common name
 * @param lifeMs - from now on
 */
export async function makeRootCertificate(
  name: string,
  { key, spki }: NewKey,
  lifeMs: number,
): Promise<MadeCertificate> {
  const subject = [{ CN: [name] }];
  return make(Date.now() + lifeMs, key, {
    subject,
    issuer: subject,
    publicKey: spki,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(spki, false, webcrypto),
    ],
  });
}

/** What a leaf certificate says. */
export interface Leaf {
  readonly name: string;
  /** The whole subjectAltName. */
  readonly names: readonly AlternativeName[];
  /** Whether it may stand behind a listening port: serverAuth as well as clientAuth. */
  readonly isServer: boolean;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKey: Uint8Array;
  /** From now on; cut to the issuer's own end. */
  readonly lifeMs: number;
}

/**
 * Makes a certificate for one holder.
 * @param issuer - the CA's certificate
 * @param key - its Ed25519 private key
 */
export async function makeLeafCertificate(
  issuer: X509Certificate,
  key: KeyObject,
  leaf: Leaf,
): Promise<MadeCertificate> {
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const authority = new x509.X509Certificate(issuer.raw);
  return make(Math.min(Date.now() + leaf.lifeMs, Date.parse(issuer.validTo)), key, {
    subject: [{ CN: [leaf.name] }],
    issuer: authority.subjectName,
    publicKey: leaf.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(leaf.isServer ? [serverAuth, clientAuth] : [clientAuth]),
      new x509.SubjectAlternativeNameExtension([...leaf.names]),
      await x509.SubjectKeyIdentifierExtension.create(leaf.publicKey, false, webcrypto),
      await x509.AuthorityKeyIdentifierExtension.create(authority, false, webcrypto),
    ],
  });
}

const ED25519 = { name: 'Ed25519' };

async function make(
  endMs: number,
  key: KeyObject,
  certificate: Pick<x509.X509CertificateCreateWithKeyParams, 'subject' | 'issuer' | 'extensions'> & {
    readonly publicKey: Uint8Array;
  },
): Promise<MadeCertificate> {
  const notAfter = new Date(Math.floor(endMs / 1_000) * 1_000);
  const serial = newSerial();
  const made = await x509.X509CertificateGenerator.create(
    {
      ...certificate,
      publicKey: Uint8Array.from(certificate.publicKey),
      serialNumber: serial,
      notBefore: new Date(Date.now() - BACKDATE_MS),
      notAfter,
      signingKey: await signingKey(key),
      signingAlgorithm: ED25519,
    },
    webcrypto,
  );
  return { pem: `${made.toString('pem')}\n`, serial: serial.toUpperCase(), notAfter };
}

async function signingKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = key.export({ type: 'pkcs8', format: 'der' });
  try {
    return await webcrypto.subtle.importKey('pkcs8', der, ED25519, false, ['sign']);
  } finally {
    der.fill(0);
  }
}

/** 16 random bytes as hex. RFC 5280, 4.1.2.2: positive, at most 20 octets; the fixed top bits keep it so in DER. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
