import { createHash } from 'node:crypto';
import { hmac, LamplighterError } from '@lamplighter/core';
import { isRole, type Role } from '../identity/roles.js';
import { isTokenId } from '../identity/token.js';

/*
 * Enrolment (DESIGN section 8): POST, JSON, over TLS that only the server has a certificate for. The token's secret is not sent; what
 * is sent proves that whoever is at the other end of *this* connection knows it and asks for *this* key.
 */

/** Where a certificate is asked for, on a listener that serves nothing else. */
export const ENROLL_PATH = '/v1/enroll';
/** The media type of the request. */
export const ENROLL_CONTENT_TYPE = 'application/json';
/** A CSR of at most 8 KiB, as JSON, with everything beside it. */
export const MAX_ENROLL_BYTES = 16_384;
/** RFC 8446, 7.5, and RFC 9266 for what it is good for: only the two ends of one connection know it. */
export const EXPORTER_LABEL = 'EXPORTER-lamplighter-enroll';
/** Length of the exported value, bytes. */
export const EXPORTER_BYTES = 32;
const PROOF_BYTES = 32;

/** What a machine asks. */
export interface EnrollRequest {
  /** The token's id, 32 hex digits. */
  readonly token: string;
  /** What the machine believes it will be; the token decides, and a difference is refused. */
  readonly role: Role;
  /** The certificate signing request, PEM. */
  readonly csr: string;
  /** See {@link enrollProof}, 32 bytes. */
  readonly proof: Uint8Array;
}

/**
 * HMAC-SHA-256(proof key, exporter ‖ SHA-256(CSR)): passed on to another connection, or with another CSR, it is wrong.
 * @param key - `TokenKeys.proof`
 * @param exporter - 32 bytes, exported from the connection under {@link EXPORTER_LABEL} without context
 * @param csr - DER
 */
export function enrollProof(key: Uint8Array, exporter: Uint8Array, csr: Uint8Array): Uint8Array {
  if (exporter.length !== EXPORTER_BYTES) throw new RangeError(`an exporter has ${EXPORTER_BYTES} bytes`);
  return hmac('sha256', key, exporter, createHash('sha256').update(csr).digest());
}

/** The request as JSON. */
export function encodeEnrollRequest({ proof, ...rest }: EnrollRequest): Uint8Array {
  return Buffer.from(JSON.stringify({ ...rest, proof: Buffer.from(proof).toString('base64') }));
}

/**
 * Reads a request; no field more or less than there has to be. Whether the CSR is one is not looked at.
 * @throws LamplighterError ERR_BAD_REQUEST
 */
export function decodeEnrollRequest(body: Uint8Array): EnrollRequest {
  const value = parsed(body);
  if (Object.keys(value).length > 4) throw refused('it has fields too many');
  const { token, role, csr, proof } = value;
  if (typeof token !== 'string' || !isTokenId(token)) throw refused('token');
  if (typeof role !== 'string' || !isRole(role)) throw refused('role');
  if (typeof csr !== 'string') throw refused('csr');
  const bytes = typeof proof === 'string' ? Buffer.from(proof, 'base64') : undefined;
  if (bytes?.length !== PROOF_BYTES || bytes.toString('base64') !== proof) throw refused('proof');
  return { token, role, csr, proof: bytes };
}

function parsed(body: Uint8Array): Readonly<Record<string, unknown>> {
  if (body.length > MAX_ENROLL_BYTES) throw refused('it is too long');
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    throw refused('it is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refused('it is no object');
  return value as Readonly<Record<string, unknown>>;
}

function refused(what: string): LamplighterError {
  return new LamplighterError('ERR_BAD_REQUEST', `this is no request for enrolment: ${what}`);
}
