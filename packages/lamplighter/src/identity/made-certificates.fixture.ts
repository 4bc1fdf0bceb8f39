import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { identityUri, SERVER_ROLES, type Role } from './roles.js';
import type { TlsMaterial } from './tls-files.js';

/** What a certificate made for a test says. Whatever is left out is as `issueCertificate` would make it. */
export interface MadeCertificate {
  readonly role?: Role;
  readonly name?: string;
  /** Replaces the whole subjectAltName; an empty list leaves the extension out. */
  readonly names?: x509.JsonGeneralNames;
  /** Replaces the extended key usage; an empty list leaves the extension out. */
  readonly usages?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

/** A CA in memory that makes certificates no real CA would. */
export interface TestAuthority {
  readonly pem: string;
  /** A certificate for loopback (`localhost`, 127.0.0.1, ::1 for server roles) with its key, as PEM. */
  make(certificate?: MadeCertificate): Promise<{ cert: Buffer; key: Buffer }>;
  /** The same as our own end of a TLS connection, unchecked: `loadTlsFiles` would refuse many of them. */
  material(certificate?: MadeCertificate): Promise<TlsMaterial>;
}

const ED25519 = { name: 'Ed25519' };
const DAY_MS = 86_400_000;

/** @param name - the CA's common name; two CAs of one name are still two */
export async function testAuthority(name = 'Test CA'): Promise<TestAuthority> {
  const keys = await newKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [name] }],
    keys,
    notBefore: new Date(Date.now() - 400 * DAY_MS),
    notAfter: new Date(Date.now() + 400 * DAY_MS),
    signingAlgorithm: ED25519,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const pem = authority.toString('pem');

  async function make(certificate: MadeCertificate = {}): Promise<{ cert: Buffer; key: Buffer }> {
    const { role = 'relay', name = 'test' } = certificate;
    const server = SERVER_ROLES.includes(role);
    const names = certificate.names ?? [
      { type: 'url', value: identityUri(role, name) },
      ...(server ? LOOPBACK : []),
    ];
    const usages = certificate.usages ?? (server ? [SERVER_AUTH, CLIENT_AUTH] : [CLIENT_AUTH]);
    const leafKeys = await newKeys();
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: newSerial(),
      subject: [{ CN: [name] }],
      issuer: authority.subjectName,
      notBefore: certificate.notBefore ?? new Date(Date.now() - 60_000),
      notAfter: certificate.notAfter ?? new Date(Date.now() + DAY_MS),
      publicKey: leafKeys.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: ED25519,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        ...(usages.length > 0 ? [new x509.ExtendedKeyUsageExtension([...usages])] : []),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      ],
    });
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey);
    return {
      cert: Buffer.from(leaf.toString('pem')),
      key: Buffer.from(x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')),
    };
  }

  return {
    pem,
    make,
    async material(certificate = {}) {
      const { role = 'relay', name = 'test' } = certificate;
      return {
        ca: Buffer.from(pem),
        ...(await make(certificate)),
        identity: { role, name, fingerprint: new Uint8Array(32), serial: '00' },
        notBefore: certificate.notBefore ?? new Date(Date.now() - 60_000),
        notAfter: certificate.notAfter ?? new Date(Date.now() + DAY_MS),
      };
    },
  };
}

export const SERVER_AUTH: string = x509.ExtendedKeyUsage.serverAuth;
export const CLIENT_AUTH: string = x509.ExtendedKeyUsage.clientAuth;

const LOOPBACK: x509.JsonGeneralNames = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
  { type: 'ip', value: '::1' },
];

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey('Ed25519', true, [
    'sign',
    'verify',
  ]) as Promise<webcrypto.CryptoKeyPair>;
}

function newSerial(): string {
  return `40${randomBytes(15).toString('hex')}`;
}
