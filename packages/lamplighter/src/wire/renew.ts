import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type ErrorCode, LamplighterError, wipe } from '@lamplighter/core';
import { newKeyAndCsr } from '../identity/csr.js';
import { identityOfCertificate } from '../identity/roles.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import { acceptTrust, readTrustFile } from '../identity/trust-list.js';
import { type Upstream, readBounded, request } from './client.js';
import {
  decodeIssuedAnswer,
  ISSUED_CONTENT_TYPE,
  type IssuedAnswer,
  MAX_ANSWER_BYTES,
} from './issued-answer.js';
import { type PlainRefusal, refusalOf } from './refusal.js';

/*
 * Renewal (DESIGN section 8): POST over the old certificate, a CSR for a new key as body. Same name and role only.
 */

/** Where a certificate is renewed. */
export const RENEW_PATH = '/v1/renew';
/** The media type of the request: a CSR as PEM (RFC 7468). */
export const RENEW_CONTENT_TYPE = 'application/x-pem-file';
/** The longest request. */
export const MAX_RENEW_BYTES = 8_192;

/** A certificate that was renewed, not yet in force. */
export interface Renewed {
  /** PKCS#8 PEM; the caller wipes it. */
  readonly keyPem: Buffer;
  readonly certificatePem: string;
  /** The new content of the CA file; undefined when it stays as it is. */
  readonly trust: string | undefined;
  readonly notAfter: Date;
}

/** What to do when there is no valid certificate to renew. */
export const ENROL_AGAIN = 'enrol this machine again: `lamplighter enroll --relay URL --token-file FILE`';

/** What may be refused for another reason than that we are who we are. */
const REFUSALS: Partial<Record<ErrorCode, PlainRefusal>> = {
  ERR_NOT_FOUND: {
    message: 'the upstream renews no certificates',
    hint: 'name the node that is the CA: authority: { url: … }',
  },
  ERR_METHOD: {
    message: 'the upstream renews no certificates',
    hint: 'name the node that is the CA: authority: { url: … }',
  },
  ERR_CSR: { message: 'the upstream could not use our request', hint: 'is it of the same version as this' },
  ERR_CSR_NAME: { message: 'the upstream gives us no such name', hint: 'enrol again' },
};

/**
 * Asks for a certificate over the one we have, with a new key, and looks at what comes: nobody is believed.
 *
 * @param upstream - whose `tls` is `options.current`
 * @param options - `trustFile`: our CA file; `deadlineMs`: for everything together
 * @returns what to put in force; the caller wipes the key
 * @throws LamplighterError what `request` throws (ERR_UPSTREAM_*, ERR_DEADLINE); ERR_NOT_FOUND or ERR_METHOD when that upstream is no
 *   CA; ERR_RENEWAL when the old certificate has expired; ERR_REVOKED; ERR_CSR, ERR_CSR_NAME; ERR_UPSTREAM_STATUS for any other refusal, with `retryAfterMs`; else as
 *   {@link decodeIssuedAnswer} and {@link acceptIssued}
 */
export async function renew(
  upstream: Upstream,
  options: {
    readonly current: TlsMaterial;
    readonly trustFile: Buffer;
    readonly deadlineMs: number;
    readonly signal?: AbortSignal;
  },
): Promise<Renewed> {
  const { deadlineMs, current, trustFile } = options;
  if (current.notAfter.getTime() <= Date.now()) {
    const message = `the certificate expired on ${current.notAfter.toISOString()}: nothing can be renewed over it`;
    throw new LamplighterError('ERR_RENEWAL', message, { hint: ENROL_AGAIN });
  }
  // `request` bounds the time to the headers only.
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), deadlineMs);
  const signal = options.signal === undefined ? late.signal : AbortSignal.any([late.signal, options.signal]);
  const { keyPem, csrPem } = await newKeyAndCsr();
  try {
    const response = await request(upstream, {
      method: 'POST',
      path: RENEW_PATH,
      headers: { 'content-type': RENEW_CONTENT_TYPE },
      body: Buffer.from(csrPem),
      deadlineMs,
      signal,
    });
    if (response.status !== 200) throw await refusalOf(response, signal, REFUSALS);
    if (response.headers['content-type'] !== ISSUED_CONTENT_TYPE) {
      response.body.destroy();
      throw new LamplighterError('ERR_UPSTREAM_PROTOCOL', 'the upstream answered with no certificate');
    }
    const answer = decodeIssuedAnswer(await readBounded(response.body, MAX_ANSWER_BYTES, signal));
    return { keyPem, ...acceptIssued(answer, { keyPem, current, trustFile }) };
  } catch (error) {
    wipe(keyPem);
    if (!late.signal.aborted) throw error;
    throw new LamplighterError('ERR_DEADLINE', `no certificate within ${deadlineMs} ms`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Looks at a certificate that is to follow ours: of our new key, by a root that we trust once the list that came with it is
 * accepted, and for everything that the old one is for. How long it lives is for the CA to say, also when that is less than before.
 * @param options - `keyPem`: the new key; `trustFile`: our CA file
 * @throws LamplighterError ERR_TRUST for a trust list that nobody we trust has signed, ERR_CERTIFICATE_ANSWER for everything else
 */
export function acceptIssued(
  { certificate: certificatePem, trust: document }: Pick<IssuedAnswer, 'certificate' | 'trust'>,
  options: {
    readonly keyPem: Buffer;
    readonly current: Pick<TlsMaterial, 'cert' | 'identity'>;
    readonly trustFile: Buffer;
  },
): Omit<Renewed, 'keyPem'> {
  const { keyPem, current, trustFile } = options;
  const trust = acceptTrust(trustFile, document);
  const { roots } = readTrustFile(trust === undefined ? trustFile : Buffer.from(trust));
  const leaf = new X509Certificate(certificatePem);
  const old = new X509Certificate(current.cert);

  demand(leaf.checkPrivateKey(createPrivateKey(keyPem)), 'it is not for our key');
  const { role, name, names = [] } = identityOf(leaf);
  demand(role === current.identity.role && name === current.identity.name, `it is for ${role} ${name}`);
  demand(sorted(names) === sorted(current.identity.names ?? []), 'it is for other addresses');
  demand(
    roots.some((root) => hasIssued(root, leaf)),
    'no root that we trust has issued it',
  );
  const isFor = (purpose: string): boolean => leaf.keyUsage?.includes(purpose) ?? true;
  demand(old.keyUsage?.every(isFor) ?? true, 'it is for less than the old one');
  const notAfter = new Date(leaf.validTo);
  demand(notAfter.getTime() > Date.now(), 'it has expired');
  demand(Date.parse(leaf.validFrom) <= Date.now(), 'it is not valid yet');
  return { certificatePem, trust, notAfter };
}

function identityOf(leaf: X509Certificate): ReturnType<typeof identityOfCertificate> {
  try {
    return identityOfCertificate(leaf);
  } catch (cause) {
    throw refused('it is nobody’s', cause);
  }
}

const hasIssued = (root: X509Certificate, leaf: X509Certificate): boolean =>
  leaf.checkIssued(root) && leaf.verify(root.publicKey);

const sorted = (names: readonly string[]): string => [...names].sort().join(' ');

function demand(isAcceptable: boolean, why: string): void {
  if (!isAcceptable) throw refused(why);
}

function refused(why: string, cause?: unknown): LamplighterError {
  return new LamplighterError(
    'ERR_CERTIFICATE_ANSWER',
    `the certificate that was sent cannot be used: ${why}`,
    {
      hint: 'the old one stays; see what the node that answered, and its CA, are doing',
      cause,
    },
  );
}
