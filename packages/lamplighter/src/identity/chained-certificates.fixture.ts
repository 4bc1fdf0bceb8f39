import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { CLIENT_AUTH, SERVER_AUTH } from './made-certificates.fixture.js';
import { identityUri, SERVER_ROLES, type Role } from './roles.js';

type KeyKind = 'Ed25519' | 'P-256' | 'P-384' | 'RSA';

/** What is otherwise than a machine's certificate, P-256, below one intermediate. */
export interface ChainedCertificate {
  readonly role?: Role;
  readonly keys?: KeyKind;
  readonly rsaBits?: number;
  /** Of the root and of every intermediate. */
  readonly authorityKeys?: KeyKind;
  readonly intermediates?: number;
  readonly intermediateIsCa?: boolean;
  readonly intermediateNotAfter?: Date;
  /** The extended key usage; an empty list leaves the extension out. */
  readonly usages?: readonly string[];
}

const DAY_MS = 86_400_000;

/** For tests: a root that is not ours, intermediates below it, and a certificate below these; all PEM. */
export async function chainedCertificates(made: ChainedCertificate = {}): Promise<{
  readonly root: string;
  /** The one that issued the leaf first. */
  readonly intermediates: readonly string[];
  readonly leaf: string;
  readonly key: Buffer;
}> {
  const { role = 'machine', keys = 'P-256', authorityKeys = 'P-256', rsaBits = 2_048 } = made;
  const rootKeys = await newKeys(authorityKeys);
  const root = await sign('Root', rootKeys, { name: 'CN=Root', keys: rootKeys }, asAuthority());
  let issuer = { name: 'CN=Root', keys: rootKeys };
  const intermediates: string[] = [];
  for (let depth = 1; depth <= (made.intermediates ?? 1); depth += 1) {
    const own = await newKeys(authorityKeys);
    const extensions = made.intermediateIsCa === false ? [] : asAuthority();
    const name = `Intermediate ${depth}`;
    intermediates.unshift(await sign(name, own, issuer, extensions, made.intermediateNotAfter));
    issuer = { name: `CN=${name}`, keys: own };
  }
  const leafKeys = await newKeys(keys, rsaBits);
  const server = SERVER_ROLES.includes(role);
  const usages = made.usages ?? (server ? [SERVER_AUTH, CLIENT_AUTH] : [CLIENT_AUTH]);
  const leaf = await sign('web-1', leafKeys, issuer, [
    new x509.SubjectAlternativeNameExtension([{ type: 'url', value: identityUri(role, 'web-1') }]),
    ...(usages.length > 0 ? [new x509.ExtendedKeyUsageExtension([...usages])] : []),
  ]);
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey);
  return { root, intermediates, leaf, key: Buffer.from(x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')) };
}

function asAuthority(): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
  ];
}

async function sign(
  name: string,
  keys: webcrypto.CryptoKeyPair,
  issuer: { readonly name: string; readonly keys: webcrypto.CryptoKeyPair },
  extensions: x509.Extension[],
  notAfter = new Date(Date.now() + 30 * DAY_MS),
): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `40${randomBytes(15).toString('hex')}`,
    subject: `CN=${name}`,
    issuer: issuer.name,
    notBefore: new Date(Date.now() - 30 * DAY_MS),
    notAfter,
    publicKey: keys.publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: { ...issuer.keys.privateKey.algorithm, hash: 'SHA-256' },
    extensions,
  });
  return certificate.toString('pem');
}

function newKeys(kind: KeyKind, rsaBits = 2_048): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithmOf(kind, rsaBits), true, ['sign', 'verify']);
}

function algorithmOf(
  kind: KeyKind,
  modulusLength: number,
): webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams {
  switch (kind) {
    case 'Ed25519':
      return { name: 'Ed25519', namedCurve: '' };
    case 'RSA':
      return {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength,
        publicExponent: Uint8Array.of(1, 0, 1),
        hash: 'SHA-256',
      };
    default:
      return { name: 'ECDSA', namedCurve: kind };
  }
}
