import { createPrivateKey, X509Certificate } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';
import { chainToRoot } from '../identity/certificate-chain.js';
import { identityOfCertificate, type Role } from '../identity/roles.js';
import { acceptTrust, type TrustDocument } from '../identity/trust-list.js';
import type { IssuedAnswer } from '../wire/issued-answer.js';

/** A certificate that is ours to use. */
export interface CheckedAnswer {
  readonly name: string;
  readonly role: Role;
  readonly serial: string;
  readonly notAfter: Date;
  readonly certificatePem: string;
  readonly trust: TrustDocument;
}

/**
 * Whether an answer is what was asked for. The server is a relay of our CA, and a relay that somebody owns must not make us somebody
 * else, or trust somebody else.
 *
 * @param answer - decoded, otherwise unchecked
 * @param expected - `authority`: the root that the token names; `keyPem`: our key; `role`: the token's
 * @throws LamplighterError ERR_TRUST for a trust list that the token's CA did not sign or is not on; ERR_CERTIFICATE_ANSWER for a
 *   certificate of another key, role, name or CA, or one that is over
 */
export function checkAnswer(
  answer: IssuedAnswer,
  expected: { readonly authority: X509Certificate; readonly keyPem: Uint8Array; readonly role: Role },
): CheckedAnswer {
  const { authority, keyPem, role } = expected;
  // What is trusted so far is the one root that the token names; the list must be signed by it and hold it.
  const trusted = acceptTrust(Buffer.from(authority.toString()), answer.trust);
  if (trusted === undefined) throw new LamplighterError('ERR_TRUST', 'the trust list has no number');
  const leaf = new X509Certificate(answer.certificate);
  const key = createPrivateKey(Buffer.from(keyPem.buffer, keyPem.byteOffset, keyPem.length));
  if (!leaf.checkPrivateKey(key)) throw refused('is for another key than ours');
  const identity = identityIn(leaf);
  if (identity.role !== role || answer.role !== role) {
    throw refused(`is for role ${identity.role}, and the token for ${role}`);
  }
  if (identity.name !== answer.name)
    throw refused(`is for ${identity.name}, and the answer for ${answer.name}`);
  const roots = answer.trust.roots.map((pem) => new X509Certificate(pem));
  if (leaf.ca || chainToRoot(leaf, [], roots) === undefined) throw refused('is not from the CA of the token');
  const notAfter = new Date(leaf.validTo);
  if (!(notAfter.getTime() > Date.now()))
    throw refused(`was over on ${leaf.validTo}, by this machine's clock`);
  return {
    name: identity.name,
    role,
    serial: identity.serial,
    notAfter,
    certificatePem: answer.certificate,
    trust: answer.trust,
  };
}

function identityIn(leaf: X509Certificate): ReturnType<typeof identityOfCertificate> {
  try {
    return identityOfCertificate(leaf);
  } catch (cause) {
    throw refused('says of nobody who it is for', cause);
  }
}

function refused(what: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_CERTIFICATE_ANSWER', `the certificate that was answered ${what}`, {
    hint: 'the relay is mistaken or not to be trusted: nothing of its answer was used',
    cause,
  });
}
