import type { X509Certificate } from 'node:crypto';

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';

/**
 * The PEM certificates in a file, one after the other. What stands between them is passed over, a private key too, and is
 * never made a string.
 * @returns views of `pem`, in its order
 */
export function pemCertificates(pem: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = pem.indexOf(BEGIN); at >= 0; at = pem.indexOf(BEGIN, at)) {
    const end = pem.indexOf(END, at);
    if (end < 0) break;
    blocks.push(pem.subarray(at, end + END.length));
    at = end + END.length;
  }
  return blocks;
}

/**
 * The way from a certificate to a root, as OpenSSL will look for it in a handshake: every issuer is a CA whose key verifies the
 * signature, and the last one is self-signed and one of those we trust. Validity is the caller's to judge.
 * @param leaf - where it begins
 * @param sent - intermediates that come with it, in any order
 * @param trusted - what we trust; those that are not self-signed may stand in the way, never at its end
 * @returns the issuers in order, the root last; undefined when there is no way
 */
export function chainToRoot(
  leaf: X509Certificate,
  sent: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
): readonly X509Certificate[] | undefined {
  const roots = trusted.filter((root) => root.ca && hasIssued(root, root));
  const between = [...sent, ...trusted].filter((issuer) => issuer.ca && !hasIssued(issuer, issuer));
  return wayUp(leaf, between, roots);
}

/** Each step uses up one of `between`, so that two CAs that signed each other are no endless way. */
function wayUp(
  certificate: X509Certificate,
  between: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): readonly X509Certificate[] | undefined {
  const root = roots.find((candidate) => hasIssued(candidate, certificate));
  if (root !== undefined) return [root];
  for (const issuer of between.filter((candidate) => hasIssued(candidate, certificate))) {
    const rest = wayUp(
      issuer,
      between.filter((other) => other !== issuer),
      roots,
    );
    if (rest !== undefined) return [issuer, ...rest];
  }
  return undefined;
}

function hasIssued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
