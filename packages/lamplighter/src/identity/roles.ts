import type { X509Certificate } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';

/** Every role a certificate can give (DESIGN section 8). */
export const ROLES = ['office', 'relay', 'service', 'machine', 'admin'] as const;

/** What a certificate's holder may be and ask. */
export type Role = (typeof ROLES)[number];

/** The roles whose certificates may stand behind a listening port: serverAuth as well as clientAuth, with DNS or IP names. */
export const SERVER_ROLES: readonly Role[] = ['office', 'relay'];

/** Who is at the other end, as the private CA says in the certificate that the TLS handshake has verified. */
export interface PeerIdentity {
  readonly role: Role;
  /** The name the CA gave; see {@link isName}. */
  readonly name: string;
  /** SHA-256 of the DER certificate, 32 bytes. */
  readonly fingerprint: Uint8Array;
  /** The certificate's serial number, upper-case hex. */
  readonly serial: string;
  /** The DNS names and IP addresses it may be reached at; absent where there are none. */
  readonly names?: readonly string[];
}

/** What of a certificate says who its holder is. */
export type CertificateNames = Pick<X509Certificate, 'subjectAltName' | 'fingerprint256' | 'serialNumber'>;

const NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;
const SCHEME = 'lamplighter:';

/** Whether a word is one of {@link ROLES}. */
export function isRole(word: string): word is Role {
  return (ROLES as readonly string[]).includes(word);
}

/** Whether a word can be a name: 1..63 of a-z, 0-9, dot and hyphen, the first a letter or digit. */
export function isName(word: string): boolean {
  return NAME.test(word);
}

/** The one URI that says a role and a name: `lamplighter:ROLE/NAME`. */
export function identityUri(role: Role, name: string): string {
  return `${SCHEME}${role}/${name}`;
}

/**
 * Who a certificate says its holder is. It verifies nothing: call it only with a certificate whose chain is verified.
 *
 * Source: DESIGN section 8. Stricter than it: a subjectAltName with anything that Node had to quote is refused whole,
 * because a quoted entry is the only way one entry can look like two.
 * @param certificate - the leaf
 * @returns role, name, fingerprint, serial, and what else it is called
 * @throws LamplighterError ERR_CERTIFICATE_IDENTITY unless exactly one URI stands in the subjectAltName, and it is
 *   `lamplighter:ROLE/NAME`
 */
export function identityOfCertificate(certificate: CertificateNames): PeerIdentity {
  const entries = alternativeNames(certificate);
  const uris = valuesOf(entries, 'URI:');
  const [uri, ...others] = uris;
  if (uri === undefined) throw refused('the certificate has no role');
  if (others.length > 0) throw refused('the certificate has more than one URI');
  const [role, name, ...rest] = uri.startsWith(SCHEME) ? uri.slice(SCHEME.length).split('/') : [];
  if (role === undefined || name === undefined || rest.length > 0 || !isRole(role) || !isName(name)) {
    throw refused("the certificate's URI is not lamplighter:ROLE/NAME");
  }
  const names = [...valuesOf(entries, 'DNS:'), ...valuesOf(entries, 'IP Address:')];
  return {
    role,
    name,
    fingerprint: Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex'),
    serial: certificate.serialNumber,
    ...(names.length > 0 && { names }),
  };
}

const valuesOf = (entries: readonly string[], type: string): string[] =>
  entries.filter((entry) => entry.startsWith(type)).map((entry) => entry.slice(type.length));

/**
 * The entries of the subjectAltName as `TYPE:value`. Node joins them with `, ` and, since CVE-2021-44532, quotes every
 * value in which a comma, a quote or an unprintable character stands, so that splitting is exact once quotes are refused.
 */
function alternativeNames({ subjectAltName: text }: CertificateNames): string[] {
  if (text === undefined) return [];
  if (/["\\]|[^\x20-\x7e]/.test(text)) throw refused('the certificate has a malformed subjectAltName');
  return text.split(', ');
}

function refused(message: string): LamplighterError {
  return new LamplighterError('ERR_CERTIFICATE_IDENTITY', message, {
    hint: 'use a certificate made by `lamplighter ca issue`',
  });
}
