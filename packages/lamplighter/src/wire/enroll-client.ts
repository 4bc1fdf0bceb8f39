import type { X509Certificate } from 'node:crypto';
import { type ErrorCode, LamplighterError, wipe } from '@lamplighter/core';
import type { KeyAndCsr } from '../identity/csr.js';
import type { PeerIdentity, Role } from '../identity/roles.js';
import { publicKeyHash } from '../identity/trust-list.js';
import { readBounded, request } from './client.js';
import {
  encodeEnrollRequest,
  ENROLL_CONTENT_TYPE,
  ENROLL_PATH,
  enrollProof,
  EXPORTER_BYTES,
  EXPORTER_LABEL,
} from './enroll.js';
import { decodeIssuedAnswer, type IssuedAnswer, MAX_ANSWER_BYTES } from './issued-answer.js';
import { type PlainRefusal, refusalOf } from './refusal.js';
import { addressOf, certificatesShownBy, type UnknownServer, type Upstream } from './upstream.js';

/** The end of the wait for a server, as a signal. */
interface Patience {
  /** Monotonic milliseconds for the whole exchange. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** Who answered an enrolment, and what. */
export interface EnrollAnswer {
  readonly answer: IssuedAnswer;
  /** As its certificate says. */
  readonly relay: PeerIdentity;
  /** The key-exchange group, where the runtime tells. */
  readonly group: string | undefined;
}

/**
 * Learns the CA's certificate from a server that is not believed yet, by the hash of its key in a token. The connection is made for
 * this alone: nothing is sent on it.
 *
 * @param keyHash - SHA-256 of the CA key's SPKI, 32 bytes
 * @returns the CA certificate; whether the server's own is from that CA is what the next connection verifies
 * @throws LamplighterError ERR_ENROLL_CA when the server shows no such CA; ERR_UPSTREAM_UNREACHABLE, _PROTOCOL; ERR_DEADLINE
 */
export async function learnAuthority(
  server: UnknownServer,
  keyHash: Uint8Array,
  patience: Patience,
): Promise<X509Certificate> {
  const shown = await within(patience, server.url, (signal) => certificatesShownBy(server, signal));
  const authority = shown.find(
    (certificate) =>
      certificate.ca &&
      certificate.verify(certificate.publicKey) &&
      publicKeyHash(certificate.publicKey).equals(keyHash),
  );
  if (authority !== undefined) return authority;
  const { where } = addressOf(server.url);
  throw new LamplighterError('ERR_ENROLL_CA', `${where} does not show the CA that made the token`, {
    hint: 'check that this is the port for enrolment and the token is from this CA; if both are so, somebody may be between',
  });
}

/**
 * Asks for a certificate over a connection that is verified first.
 *
 * @param upstream - its `tls` holds the CA and no certificate of ours
 * @param asked - `keys.csrDer` and `csrPem` are one; `proofKey` stays the caller's
 * @returns what was answered; whether it is what was asked for is the caller's to check
 * @throws LamplighterError what `request` throws; ERR_TOKEN_UNKNOWN, _EXPIRED, _SPENT, _REVOKED, _ROLE, ERR_ENROLL_PROOF, ERR_CSR,
 *   ERR_CSR_NAME, ERR_REVOKED as the server says; ERR_QUOTA, ERR_UPSTREAM_NOT_READY, ERR_UPSTREAM_STATUS with `retryAfterMs`;
 *   ERR_UPSTREAM_PROTOCOL, ERR_TRUST for an answer that is none; ERR_DEADLINE
 */
export async function askToEnroll(
  upstream: Upstream,
  asked: {
    readonly token: string;
    readonly role: Role;
    readonly proofKey: Uint8Array;
    readonly keys: Pick<KeyAndCsr, 'csrPem' | 'csrDer'>;
  },
  patience: Patience,
): Promise<EnrollAnswer> {
  const { token, role, proofKey, keys } = asked;
  return await within(patience, upstream.url, async (signal) => {
    const response = await request(upstream, {
      method: 'POST',
      path: ENROLL_PATH,
      headers: { 'content-type': ENROLL_CONTENT_TYPE },
      body: (socket) => {
        const exporter = socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0));
        const proof = enrollProof(proofKey, exporter, keys.csrDer);
        wipe(exporter);
        return encodeEnrollRequest({ token, role, csr: keys.csrPem, proof });
      },
      deadlineMs: patience.deadlineMs,
      signal,
    }).catch((error: unknown) => {
      throw isWrongPort(error) ? wrongPort(upstream.url, error) : error;
    });
    if (response.status !== 200) throw await refusalOf(response, signal, REFUSALS);
    const bytes = await readBounded(response.body, MAX_ANSWER_BYTES, signal);
    return { answer: decodeIssuedAnswer(bytes), relay: response.peer, group: response.group };
  });
}

const isWrongPort = (error: unknown): boolean =>
  error instanceof LamplighterError && error.code === 'ERR_UPSTREAM_REFUSED_US';

function wrongPort(url: URL, cause: unknown): LamplighterError {
  const message = `${addressOf(url).where} wants a certificate, which nobody has who enrols`;
  return new LamplighterError('ERR_UPSTREAM_REFUSED_US', message, {
    hint: 'use the port for enrolment, not the one where beacons are (authority.enroll in the relay’s configuration)',
    cause,
  });
}

const ANOTHER = 'make another with `lamplighter token create` at the CA';

const REFUSALS: Partial<Record<ErrorCode, PlainRefusal>> = {
  ERR_TOKEN_UNKNOWN: { message: 'the CA does not know this token', hint: ANOTHER },
  ERR_TOKEN_EXPIRED: { message: 'the token has expired', hint: ANOTHER },
  ERR_TOKEN_REVOKED: { message: 'the token was revoked', hint: ANOTHER },
  ERR_TOKEN_SPENT: {
    message: 'the token was used before, by somebody else or with another key',
    hint: `${ANOTHER}; if nobody of yours used it, revoke the name it gave`,
  },
  ERR_TOKEN_ROLE: { message: 'the token is for another role', hint: 'say --role as the token was made for' },
  ERR_ENROLL_PROOF: {
    message: 'the CA does not accept our proof that we know the token',
    hint: 'the token may be from before its file was restored, or somebody may be between',
  },
  ERR_CSR: {
    message: 'the CA does not accept our request',
    hint: 'both ends must be of versions that go together',
  },
  ERR_CSR_NAME: { message: 'our request asks for a name that is not ours', hint: ANOTHER },
  ERR_QUOTA: {
    message: 'too many attempts from this address failed',
    hint: 'wait; somebody behind this address tries tokens',
  },
  ERR_REVOKED: {
    message: 'the name that this token gives is revoked',
    hint: '`lamplighter ca unrevoke` gives it free',
  },
};

/** One deadline for connection, question and the whole of the answer: a server that drips holds nobody up. */
async function within<T>(
  { deadlineMs, signal }: Patience,
  url: URL,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const reason = new LamplighterError(
    'ERR_DEADLINE',
    `${addressOf(url).where} did not answer within ${deadlineMs} ms`,
  );
  const timer = setTimeout(() => late.abort(reason), deadlineMs);
  try {
    return await run(signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]));
  } finally {
    clearTimeout(timer);
  }
}
