import { X509Certificate } from 'node:crypto';
import { dirname } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { agentRenewsMs } from '../agent/renewal.js';
import { chainToRoot, pemCertificates } from '../identity/certificate-chain.js';
import { certificateLife, expiresSoon, renewalDueMs } from '../identity/certificate-life.js';
import { type Role, SERVER_ROLES } from '../identity/roles.js';
import type { TlsMaterial, TlsPaths } from '../identity/tls-files.js';
import type { Environment } from '../local/environment.js';
import { type Fact, actionFrom } from './fact.js';
import { loadOwnTls } from './own-tls.js';
import { type Refusal, reportedRefusal } from './renewal-report.js';
import type { Subject } from './subject.js';

const DAY_MS = 86_400_000;
/** A CA is replaced on every machine: that takes longer than a new certificate. */
const CA_WARNING_MS = 30 * DAY_MS;
/** Of its life, after which a certificate that renews itself should have been: a few attempts may fail. */
const OVERDUE_SHARE = 1 / 12;
/** Who may ask a relay for beacons (DESIGN section 8). */
const ASKING_ROLES: readonly Role[] = ['machine', 'service', 'relay'];

/** Where a certificate is named, and what its holder does with it. */
interface Holder {
  readonly id: string;
  readonly tls: TlsPaths;
  readonly roles: readonly Role[];
  readonly does: string;
  /** When it is renewed without anybody's help, ms since 1970; undefined when that is somebody's work. */
  readonly renewsMs: (tls: TlsMaterial) => number | undefined;
  /** The command that renews it; undefined where there is none but `ca issue`. */
  readonly renewCommand?: string;
  /** What its holder was told the last time it asked for anything. */
  readonly refusal?: Refusal;
}

/** The certificates of what is configured here: whose, how long still, and whether their keys are kept. */
export async function certificateFacts(subject: Subject): Promise<readonly Fact[]> {
  const { environment } = subject;
  return await Promise.all((await holders(subject)).map((holder) => certificateFact(holder, environment)));
}

async function holders(subject: Subject): Promise<readonly Holder[]> {
  const { agent, node } = subject;
  const refusal = await reportedRefusal(subject);
  const tls = node?.config.tls;
  const [roles, does]: readonly [readonly Role[], string] =
    node?.config.listen === undefined
      ? [['office', 'relay', 'service'], 'runs a node']
      : [SERVER_ROLES, 'listens'];
  const { folder, url } = node?.config.authority ?? {};
  return [
    ...(agent === undefined
      ? []
      : [
          {
            id: 'certificate.agent',
            tls: agent.config.tls,
            roles: ASKING_ROLES,
            does: 'asks for beacons',
            renewsMs: (material: TlsMaterial) => agentRenewsMs(agent.config, material),
            renewCommand: `lamplighter agent renew --config ${agent.file}`,
            ...(refusal && { refusal }),
          },
        ]),
    ...(tls === undefined
      ? []
      : [
          {
            id: 'certificate.node',
            tls,
            roles,
            does,
            renewsMs: (material: TlsMaterial) =>
              folder === undefined && url === undefined ? undefined : renewalDueMs(material),
          },
        ]),
  ];
}

async function certificateFact(holder: Holder, environment: Environment): Promise<Fact> {
  const { id, tls, roles, does } = holder;
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
  const renewsMs = holder.renewsMs(material);
  const issuer = issuerOf(material, leaf);
  const caLeftMs = issuer === undefined ? 0 : Date.parse(issuer.validTo) - nowMs;
  const mode = ((await environment.fs.stat(tls.key)).mode & 0o777).toString(8).padStart(4, '0');
  const daysLeft = daysIn(notAfter.getTime() - nowMs);
  const values = {
    role,
    name,
    daysLeft,
    notAfter: notAfter.toISOString(),
    ...(renewsMs !== undefined && { renewsAt: new Date(Math.max(renewsMs, nowMs)).toISOString() }),
    keyMode: mode,
    keyType: leaf.publicKey.asymmetricKeyType ?? 'unknown',
    caDaysLeft: daysIn(caLeftMs),
  };
  const renewal = renewsMs === undefined ? '' : `, renewed by itself from ${values.renewsAt} on`;
  const text = `${role} ${name}: ${daysLeft} days left${renewal}, ${values.keyType} key with mode ${mode}; its CA: ${values.caDaysLeft} days`;
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
  const { renewCommand } = holder;
  const command = renewCommand === undefined || renewsMs === undefined ? renew : `\`${renewCommand}\``;
  const fault = renewalFault(holder, material, nowMs);
  if (fault !== undefined) {
    return {
      id,
      level: fault.isRevoked ? 'broken' : 'weak',
      text: `${fault.text}; ${text}`,
      values: { ...values, ...(fault.code !== undefined && { code: fault.code }) },
      action: fault.isRevoked ? ENROL_AGAIN : `Renew the certificate: ${command}.`,
    };
  }
  if (caLeftMs < CA_WARNING_MS) {
    return { id, level: 'weak', text: `${text}; the CA expires soon`, values, action: ROTATE_CA };
  }
  return { id, level: 'ok', text, values };
}

/** What is wrong with how it is renewed, if anything: refused, overdue, or nobody does it and it is late. */
function renewalFault(
  { renewsMs, refusal }: Holder,
  tls: TlsMaterial,
  nowMs: number,
): { text: string; isRevoked: boolean; code?: string } | undefined {
  const { role, name } = tls.identity;
  const whose = `the certificate of ${role} ${name}`;
  if (refusal?.isRevocation === true) {
    return { text: `${whose} has been revoked`, isRevoked: true, code: 'ERR_REVOKED' };
  }
  const ends = `expires on ${tls.notAfter.toISOString()}`;
  const dueMs = renewsMs(tls);
  if (dueMs !== undefined && nowMs >= dueMs) {
    if (refusal !== undefined) {
      const { code } = refusal;
      return { text: `${whose} ${ends} and could not be renewed [${code}]`, isRevoked: false, code };
    }
    const { issuedMs, expiresMs } = certificateLife(tls);
    // With another root in the list it is due at once; whoever renews it looks every few minutes.
    if (nowMs >= Math.max(dueMs, issuedMs) + (expiresMs - issuedMs) * OVERDUE_SHARE) {
      return { text: `${whose} ${ends} and should have been renewed`, isRevoked: false };
    }
  }
  return expiresSoon(tls, nowMs) ? { text: `${whose} ${ends}`, isRevoked: false } : undefined;
}

const ENROL_AGAIN =
  'If that was a mistake, take it back at the CA with `lamplighter ca unrevoke`, and enrol this machine again: `lamplighter enroll --relay URL --token-file FILE`.';

const ROTATE_CA =
  'Replace the CA’s key while every certificate stays good: `lamplighter ca rotate DIR --begin`.';

const NEW_CA = 'Make a new CA, `lamplighter ca init DIR`, and enrol every machine again.';

function issueCommand(role: Role, name: string, folder: string): string {
  const address = SERVER_ROLES.includes(role) ? ' --dns HOST' : '';
  return `\`lamplighter ca issue --ca DIR --role ${role} --name ${name}${address} --out ${folder} --replace\``;
}

/** The root that a certificate rests on. */
function issuerOf(tls: TlsMaterial, leaf: X509Certificate): X509Certificate | undefined {
  const certificates = (pem: Buffer): X509Certificate[] =>
    pemCertificates(pem).map((block) => new X509Certificate(block));
  return chainToRoot(leaf, certificates(tls.cert).slice(1), certificates(tls.ca))?.at(-1);
}

const daysIn = (ms: number): number => Math.floor(ms / DAY_MS);

const article = (role: Role): string => `${/^[aeiou]/.test(role) ? 'an' : 'a'} ${role}`;
