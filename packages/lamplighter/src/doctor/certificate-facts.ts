import { X509Certificate } from 'node:crypto';
import { dirname } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { type Role, SERVER_ROLES } from '../identity/roles.js';
import { expiryWarning, type TlsMaterial, type TlsPaths } from '../identity/tls-files.js';
import type { Environment } from '../local/environment.js';
import { type Fact, actionFrom } from './fact.js';
import { loadOwnTls } from './own-tls.js';
import type { Subject } from './subject.js';

const DAY_MS = 86_400_000;
/** A CA is replaced on every machine: that takes longer than a new certificate. */
const CA_WARNING_MS = 30 * DAY_MS;
/** Who may ask a relay for beacons (DESIGN section 8). */
const ASKING_ROLES: readonly Role[] = ['machine', 'service', 'relay'];

/** Where a certificate is named, and what its holder does with it. */
interface Holder {
  readonly id: string;
  readonly tls: TlsPaths;
  readonly roles: readonly Role[];
  readonly does: string;
}

/** The certificates of what is configured here: whose, how long still, and whether their keys are kept. */
export async function certificateFacts(subject: Subject): Promise<readonly Fact[]> {
  const { environment } = subject;
  return await Promise.all(holders(subject).map((holder) => certificateFact(holder, environment)));
}

function holders({ agent, node }: Subject): readonly Holder[] {
  const tls = node?.config.tls;
  const [roles, does]: readonly [readonly Role[], string] =
    node?.config.listen === undefined
      ? [['office', 'relay', 'service'], 'runs a node']
      : [SERVER_ROLES, 'listens'];
  return [
    ...(agent === undefined
      ? []
      : [{ id: 'certificate.agent', tls: agent.config.tls, roles: ASKING_ROLES, does: 'asks for beacons' }]),
    ...(tls === undefined ? [] : [{ id: 'certificate.node', tls, roles, does }]),
  ];
}

async function certificateFact({ id, tls, roles, does }: Holder, environment: Environment): Promise<Fact> {
  const nowMs = Number(environment.realtimeNs() / 1_000_000n);
  let material: TlsMaterial;
  try {
    material = await loadOwnTls(environment, tls);
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    return {
      id,
      level: 'broken',
      text: error.message,
      values: { code: error.code },
      ...(error.hint !== undefined && { action: actionFrom(error.hint) }),
    };
  }
  const { identity, notAfter } = material;
  const { role, name } = identity;
  const leaf = new X509Certificate(material.cert);
  const issuer = issuerOf(leaf, material.ca);
  const caLeftMs = issuer === undefined ? 0 : Date.parse(issuer.validTo) - nowMs;
  const mode = ((await environment.fs.stat(tls.key)).mode & 0o777).toString(8).padStart(4, '0');
  const daysLeft = daysIn(notAfter.getTime() - nowMs);
  const values = {
    role,
    name,
    daysLeft,
    notAfter: notAfter.toISOString(),
    keyMode: mode,
    keyType: leaf.publicKey.asymmetricKeyType ?? 'unknown',
    caDaysLeft: daysIn(caLeftMs),
  };
  const text = `${role} ${name}: ${daysLeft} days left, ${values.keyType} key with mode ${mode}; its CA: ${values.caDaysLeft} days`;
  const renew = issueCommand(role, name, dirname(tls.cert));
  if (!roles.includes(role)) {
    return {
      id,
      level: 'broken',
      text: `${text}; it is the certificate of ${article(role)}, and what ${does} must be ${roles.join(' or ')}`,
      values,
      action: `Make a certificate of the right role: ${issueCommand(roles[0] ?? role, name, dirname(tls.cert))}.`,
    };
  }
  if (caLeftMs <= 0) {
    return { id, level: 'broken', text: `${text}; the CA has expired`, values, action: NEW_CA };
  }
  const warning = expiryWarning(material, nowMs);
  if (warning !== undefined) {
    return {
      id,
      level: 'weak',
      text: `${warning}; ${text}`,
      values,
      action: `Renew the certificate: ${renew}.`,
    };
  }
  if (caLeftMs < CA_WARNING_MS) {
    return { id, level: 'weak', text: `${text}; the CA expires soon`, values, action: NEW_CA };
  }
  return { id, level: 'ok', text, values };
}

const NEW_CA =
  'Make a new CA, and put its ca.pem beside the old one on every machine before any certificate of it: `lamplighter ca init DIR`.';

function issueCommand(role: Role, name: string, folder: string): string {
  const address = SERVER_ROLES.includes(role) ? ' --dns HOST' : '';
  return `\`lamplighter ca issue --ca DIR --role ${role} --name ${name}${address} --out ${folder} --replace\``;
}

/** The one of several CAs that issued a certificate: while a CA is replaced, both are there. */
function issuerOf(leaf: X509Certificate, pem: Buffer): X509Certificate | undefined {
  const blocks = pem.toString('latin1').split(/(?=-----BEGIN CERTIFICATE-----)/);
  return blocks
    .filter((block) => block.startsWith('-----BEGIN CERTIFICATE-----'))
    .map((block) => new X509Certificate(block))
    .find((authority) => leaf.checkIssued(authority) && leaf.verify(authority.publicKey));
}

const daysIn = (ms: number): number => Math.floor(ms / DAY_MS);

const article = (role: Role): string => `${/^[aeiou]/.test(role) ? 'an' : 'a'} ${role}`;
