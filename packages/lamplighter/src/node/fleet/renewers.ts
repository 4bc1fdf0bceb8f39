import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { wipe } from '@lamplighter/core';
import { Authority } from '../../identity/authority.js';
import { newKeyAndCsr } from '../../identity/csr.js';
import { publicKeyHash, readTrustFile } from '../../identity/trust-list.js';
import type { TlsMaterial } from '../../identity/tls-files.js';
import { acceptIssued, renew } from '../../wire/renew.js';
import type { Upstream } from '../../wire/client.js';
import type { Renewer } from './own-certificate.js';

const DEADLINE_MS = 10_000;

/**
 * Renews at the node's own CA folder. It is ahead of us when it has a newer list of roots, or signs with another root than ours.
 * @param options - `lifeMs`: of the certificates it issues to us
 */
export function folderRenewer({
  folder,
  lifeMs,
}: {
  readonly folder: string;
  readonly lifeMs: number;
}): Renewer {
  return {
    async isAhead({ ca, cert }) {
      const authority = await Authority.open(folder);
      const signer = authority.roots.find((root) => publicKeyHash(root.publicKey).equals(authority.keyHash));
      const leaf = new X509Certificate(cert);
      return (
        authority.trust().sequence > readTrustFile(ca).sequence ||
        signer === undefined ||
        !leaf.verify(signer.publicKey)
      );
    },
    async renew(current) {
      const { role, name, names = [] } = current.identity;
      const authority = await Authority.open(folder);
      const { keyPem } = await newKeyAndCsr();
      try {
        const { pem: certificate } = await authority.issue({
          spki: createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'der' }),
          role,
          name,
          dns: names.filter((address) => isIP(address) === 0),
          ip: names.filter((address) => isIP(address) !== 0),
          lifeMs,
          how: 'renew',
        });
        const answer = { certificate, trust: authority.trust() };
        return { keyPem, ...acceptIssued(answer, { keyPem, current, trustFile: current.ca }) };
      } catch (error) {
        wipe(keyPem);
        throw error;
      }
    },
  };
}

/**
 * Renews at the node that is the CA.
 * @param upstream - where, for one material: it is asked with the certificate we have then
 */
export function upstreamRenewer(upstream: (tls: TlsMaterial) => Upstream): Renewer {
  return {
    // What it has is seen in what it answers; the list of roots that we hold says the rest.
    isAhead: async () => false,
    renew: (current, signal) =>
      renew(upstream(current), { current, trustFile: current.ca, deadlineMs: DEADLINE_MS, signal }),
  };
}
