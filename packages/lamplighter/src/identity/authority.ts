import 'reflect-metadata';
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError, type ErrorCode } from '@lamplighter/core';
import * as x509 from '@peculiar/x509';
import {
  alternativeNames,
  daysToMs,
  usage,
  type NewAuthority,
  type NewCertificate,
} from './certificate-request.js';
import { makePrivateDirectory, writeFilesTogether } from './key-files.js';
import { SERVER_ROLES } from './roles.js';

/** What was written. */
export interface IssuedCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
  readonly notAfter: Date;
}

/** Nothing that has a meaning of its own in a distinguished name (RFC 4514). */
const AUTHORITY_NAME = /^[A-Za-z0-9][A-Za-z0-9 .-]{0,63}$/;
const AUTHORITY_DAYS = 3650;
const CERTIFICATE_DAYS = 30;
/** The clocks of two machines differ; a certificate must be good at once on both. */
const BACKDATE_MS = 5 * 60_000;

/**
 * Makes a private CA: DIR/ca.pem and DIR/ca.key (0600), an Ed25519 key that signs leaves only (pathlen 0).
 * @returns the paths and the end of its life
 * @throws LamplighterError ERR_CA_EXISTS when either file is there, ERR_USAGE for a value out of range, ERR_CA_FILE when
 *   it cannot be written; nothing is left behind
 */
export async function createAuthority(request: NewAuthority): Promise<IssuedCertificate> {
  const name = request.name ?? 'Lamplighter CA';
  if (!AUTHORITY_NAME.test(name)) {
    throw usage(
      'a CA name is 1 to 64 letters, digits, spaces, dots and hyphens, and begins with a letter or digit',
    );
  }
  const lifeMs = daysToMs(request.days ?? AUTHORITY_DAYS);
  const certificate = join(request.directory, 'ca.pem');
  const key = join(request.directory, 'ca.key');

  const pair = await newKey();
  const notAfter = new Date(Date.now() + lifeMs);
  const made = await x509.X509CertificateGenerator.create(
    {
      serialNumber: newSerial(),
      subject: [{ CN: [name] }],
      issuer: [{ CN: [name] }],
      notBefore: new Date(Date.now() - BACKDATE_MS),
      notAfter,
      publicKey: pair.publicKey,
      signingKey: pair.privateKey,
      signingAlgorithm: ED25519,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(pair.publicKey),
      ],
    },
    webcrypto,
  );
  try {
    await makePrivateDirectory(request.directory);
    await writeFilesTogether([
      { path: key, content: pair.pem, mode: 0o600 },
      { path: certificate, content: `${made.toString('pem')}\n`, mode: 0o644 },
    ]);
  } catch (cause) {
    if (cause instanceof LamplighterError && cause.code === 'ERR_FILE_EXISTS') {
      throw new LamplighterError('ERR_CA_EXISTS', `there is a CA in ${request.directory} already`, {
        hint: 'use another directory; a CA is never overwritten',
        cause,
      });
    }
    throw cannotWrite('ERR_CA_FILE', request.directory, cause);
  } finally {
    pair.pem.fill(0);
  }
  return { certificate, key, ca: certificate, notAfter };
}

/**
 * Makes a key and a certificate for one role and name, and writes them beside a copy of the CA's certificate.
 *
 * Source: DESIGN section 8. Role and name go into exactly one URI; office and relay are servers and clients and carry DNS
 * and IP names, the others are clients only and carry none.
 * @returns the paths and the end of its life
 * @throws LamplighterError ERR_USAGE for a name, address or number that cannot be, ERR_CA_FILE when the CA cannot be read
 *   or has expired, ERR_FILE_EXISTS when a file is there and `overwrite` is not set; nothing is left behind
 */
export async function issueCertificate(request: NewCertificate): Promise<IssuedCertificate> {
  const names = alternativeNames(request);
  const lifeMs = daysToMs(request.days ?? CERTIFICATE_DAYS);
  const authority = await readAuthority(request.authorityDirectory);
  const notAfter = new Date(Math.min(Date.now() + lifeMs, authority.certificate.notAfter.getTime()));
  const pair = await newKey();
  const server = SERVER_ROLES.includes(request.role);
  const made = await x509.X509CertificateGenerator.create(
    {
      serialNumber: newSerial(),
      subject: [{ CN: [request.name] }],
      issuer: authority.certificate.subjectName,
      notBefore: new Date(Date.now() - BACKDATE_MS),
      notAfter,
      publicKey: pair.publicKey,
      signingKey: authority.signingKey,
      signingAlgorithm: ED25519,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(
          server
            ? [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]
            : [x509.ExtendedKeyUsage.clientAuth],
        ),
        new x509.SubjectAlternativeNameExtension(names),
        await x509.SubjectKeyIdentifierExtension.create(pair.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(authority.certificate),
      ],
    },
    webcrypto,
  );
  const certificate = join(request.outDirectory, `${request.name}.pem`);
  const key = join(request.outDirectory, `${request.name}.key`);
  const ca = join(request.outDirectory, 'ca.pem');
  try {
    await makePrivateDirectory(request.outDirectory);
    await writeFilesTogether(
      [
        { path: key, content: pair.pem, mode: 0o600 },
        { path: certificate, content: `${made.toString('pem')}\n`, mode: 0o644 },
        { path: ca, content: authority.pem, mode: 0o644, sameIsFine: true },
      ],
      request.overwrite ?? false,
    );
  } catch (cause) {
    throw cannotWrite('ERR_CERTIFICATE_FILE', request.outDirectory, cause);
  } finally {
    pair.pem.fill(0);
  }
  return { certificate, key, ca, notAfter };
}

const ED25519 = { name: 'Ed25519' };

interface KeyPair {
  readonly publicKey: webcrypto.CryptoKey;
  readonly privateKey: webcrypto.CryptoKey;
  /** The private key as PKCS#8 PEM; the caller wipes it. */
  readonly pem: Buffer;
}

/** The runtime's copies of the key cannot be wiped from JavaScript; this process is a short-lived command. */
async function newKey(): Promise<KeyPair> {
  const pair = generateKeyPairSync('ed25519');
  const publicKey = await webcrypto.subtle.importKey(
    'spki',
    pair.publicKey.export({ type: 'spki', format: 'der' }),
    ED25519,
    true,
    ['verify'],
  );
  return {
    publicKey,
    privateKey: await importSigningKey(pair.privateKey),
    pem: Buffer.from(pair.privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
}

async function importSigningKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
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

interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly signingKey: webcrypto.CryptoKey;
  readonly pem: string;
}

async function readAuthority(directory: string): Promise<Authority> {
  const certificatePath = join(directory, 'ca.pem');
  const keyPath = join(directory, 'ca.key');
  try {
    const mode = (await fs.stat(keyPath)).mode & 0o777;
    if ((mode & 0o077) !== 0) {
      throw new LamplighterError('ERR_CA_FILE', `the CA key ${keyPath} may be read or changed by others`, {
        hint: `chmod 600 ${keyPath}; if it was ever exposed, make a new CA`,
      });
    }
    const pem = await fs.readFile(certificatePath, 'latin1');
    const certificate = new x509.X509Certificate(pem);
    if (certificate.notAfter.getTime() <= Date.now()) {
      throw new LamplighterError('ERR_CA_FILE', `the CA in ${directory} has expired`, {
        hint: "make a new CA with `lamplighter ca init`, or check this machine's clock",
      });
    }
    const key = createPrivateKey(await fs.readFile(keyPath));
    if (!new X509Certificate(pem).checkPrivateKey(key)) {
      throw new LamplighterError('ERR_CA_FILE', `${keyPath} is not the key of ${certificatePath}`, {
        hint: 'restore the two files from one backup',
      });
    }
    return { certificate, signingKey: await importSigningKey(key), pem };
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    throw new LamplighterError('ERR_CA_FILE', `there is no usable CA in ${directory}`, {
      hint: `make one with \`lamplighter ca init ${directory}\`, or check who may read it`,
      cause,
    });
  }
}

function cannotWrite(code: ErrorCode, directory: string, cause: unknown): unknown {
  if (cause instanceof LamplighterError) return cause;
  return new LamplighterError(code, `nothing can be written to ${directory}`, {
    hint: 'check that it is a directory and who may write to it',
    cause,
  });
}
