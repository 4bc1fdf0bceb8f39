import { X509Certificate } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';
import { isName, isRole, type Role } from '../identity/roles.js';
import { decodeTrust, type TrustDocument } from '../identity/trust-list.js';

/*
 * What a CA answers to whoever enrolled or renewed: the certificate, what to trust from now on, and where beacons are.
 */

/** The media type of the answer. */
export const ISSUED_CONTENT_TYPE = 'application/json';

/** A certificate that was issued just now, and what goes with it. */
export interface IssuedAnswer {
  /** One PEM block. */
  readonly certificate: string;
  readonly trust: TrustDocument;
  /** As the certificate says; see `isName`. */
  readonly name: string;
  readonly role: Role;
  /** Where a new machine may ask for beacons, at most 16; no name twice. */
  readonly relays?: readonly { readonly name: string; readonly url: string; readonly peer?: string }[];
  /** The port of whoever answers at which beacons are given, 1..65,535. */
  readonly beaconPort?: number;
}

// Implementation constants.
/** Eight roots, as many signatures, a certificate and sixteen relays are a quarter of it. */
export const MAX_ANSWER_BYTES = 65_536;
const MAX_RELAYS = 16;
const MAX_URL_LENGTH = 2_048;
const ONE_CERTIFICATE =
  /^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]{1,16384}-----END CERTIFICATE-----\s*$/;

/** The answer as JSON. */
export function encodeIssuedAnswer(answer: IssuedAnswer): Uint8Array {
  return Buffer.from(JSON.stringify(answer));
}

/**
 * Reads an answer. Whether the certificate is ours, and whether its trust document may be trusted, is the caller's to ask.
 *
 * @param bytes - as received
 * @returns the fields this version knows; the certificate written anew, so that nothing but a certificate is in it
 * @throws LamplighterError ERR_UPSTREAM_PROTOCOL when it is longer than 64 KiB, no JSON or anything in it is out of range;
 *   ERR_TRUST when its trust document cannot be one
 */
export function decodeIssuedAnswer(bytes: Uint8Array): IssuedAnswer {
  const fields = fieldsOf(parsed(bytes));
  const { name, role, relays, beaconPort } = fields;
  demand(typeof name === 'string' && isName(name), 'its name');
  demand(typeof role === 'string' && isRole(role), 'its role');
  demand(
    beaconPort === undefined ||
      (typeof beaconPort === 'number' &&
        Number.isInteger(beaconPort) &&
        beaconPort >= 1 &&
        beaconPort <= 65_535),
    'its beacon port',
  );
  return {
    certificate: certificateOf(fields['certificate']),
    trust: decodeTrust(fields['trust']),
    name,
    role,
    ...(relays !== undefined && { relays: relaysOf(relays) }),
    ...(beaconPort !== undefined && { beaconPort }),
  };
}

function parsed(bytes: Uint8Array): unknown {
  demand(bytes.length <= MAX_ANSWER_BYTES, 'its length');
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
  } catch {
    throw refused('its form');
  }
}

function certificateOf(value: unknown): string {
  demand(typeof value === 'string' && ONE_CERTIFICATE.test(value), 'its certificate');
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(value);
  } catch {
    throw refused('its certificate');
  }
  demand(!certificate.ca, 'its certificate');
  return certificate.toString();
}

function relaysOf(value: unknown): NonNullable<IssuedAnswer['relays']> {
  demand(Array.isArray(value) && value.length <= MAX_RELAYS, 'its relays');
  const relays = value.map((relay: unknown) => {
    const { name, url, peer } = fieldsOf(relay);
    demand(typeof name === 'string' && isName(name), 'the name of a relay');
    demand(
      typeof url === 'string' &&
        url.length <= MAX_URL_LENGTH &&
        url.startsWith('https://') &&
        URL.canParse(url),
      'the URL of a relay',
    );
    demand(peer === undefined || (typeof peer === 'string' && isName(peer)), 'the name of a relay');
    return { name, url, ...(peer !== undefined && { peer }) };
  });
  demand(new Set(relays.map(({ name }) => name)).size === relays.length, 'its relays');
  return relays;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  demand(typeof value === 'object' && value !== null && !Array.isArray(value), 'its form');
  return value as Readonly<Record<string, unknown>>;
}

function demand(isAcceptable: boolean, what: string): asserts isAcceptable {
  if (!isAcceptable) throw refused(what);
}

function refused(what: string): LamplighterError {
  return new LamplighterError('ERR_UPSTREAM_PROTOCOL', `the upstream's answer cannot be used: ${what}`);
}
