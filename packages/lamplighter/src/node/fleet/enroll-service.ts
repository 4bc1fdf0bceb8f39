import { createHash, timingSafeEqual } from 'node:crypto';
import { LamplighterError, wipe } from '@lamplighter/core';
import { Authority } from '../../identity/authority.js';
import { readCsr, refuseForeignNames } from '../../identity/csr.js';
import { TokenFolder } from '../../identity/token-folder.js';
import type { TokenRecord } from '../../identity/token-record.js';
import type { TlsMaterial } from '../../identity/tls-files.js';
import type { Environment } from '../../local/environment.js';
import {
  decodeEnrollRequest,
  ENROLL_PATH,
  type EnrollRequest,
  enrollProof,
  EXPORTER_BYTES,
  EXPORTER_LABEL,
  MAX_ENROLL_BYTES,
} from '../../wire/enroll.js';
import type { EnrollStatus } from '../../wire/fleet-status.js';
import { encodeIssuedAnswer, ISSUED_CONTENT_TYPE, type IssuedAnswer } from '../../wire/issued-answer.js';
import type { Exchange, Listener } from '../../wire/listener.js';
import type { ListenerMaterial } from '../../wire/listener-access.js';
import type { Log } from '../log.js';
import { FailedAttempts } from './failed-attempts.js';

export interface EnrollServiceOptions {
  /** Of access `server`, with {@link enrollMaterial}; nothing else may be served on it. */
  readonly listener: Listener;
  /** The CA's folder. */
  readonly folder: string;
  /** How long certificates live whose token says nothing else. */
  readonly lifeMs: number;
  readonly environment: Pick<Environment, 'monotonicNs' | 'realtimeNs'>;
  /** Where this node gives beacons; told to new machines. */
  readonly beaconPort?: number;
  /** Which relays a new machine is told of. */
  readonly relays?: NonNullable<IssuedAnswer['relays']>;
  readonly isRevoked: (name: string) => boolean;
  readonly log?: Pick<Log, 'info' | 'warn'>;
}

/**
 * What a listener for enrolment shows: our certificate, and after it the CA's, by whose hash a machine that has nothing but a token
 * knows it.
 */
export function enrollMaterial(tls: Pick<TlsMaterial, 'ca' | 'cert' | 'key'>): ListenerMaterial {
  return { cert: Buffer.concat([tls.cert, Buffer.from('\n'), tls.ca]), key: tls.key };
}

/**
 * Serves POST /v1/enroll: a certificate for whoever proves that he knows a token, over this very connection and for this very key.
 *
 * Source: DESIGN section 8. Role and name come from the token. A use is taken only when everything else is good, so that nobody who
 * lacks the secret can spend a token; the same request again, after an answer that was lost, is answered again.
 * @returns `remove` takes the route off the listener
 */
export function enrollService(options: EnrollServiceOptions): {
  readonly remove: () => void;
  readonly status: () => EnrollStatus;
} {
  const attempts = new FailedAttempts(options.environment);
  const refused = new Map<string, number>();
  let enrolled = 0;

  async function handle(exchange: Exchange): Promise<void> {
    try {
      const retryAfterMs = attempts.waitMs(exchange.remoteAddress);
      if (retryAfterMs > 0) {
        throw new LamplighterError('ERR_QUOTA', 'too many attempts from this address failed', {
          retryAfterMs,
        });
      }
      const answer = await enrol(exchange, options);
      enrolled += 1;
      exchange.reply(200, { 'content-type': ISSUED_CONTENT_TYPE }, encodeIssuedAnswer(answer));
    } catch (error) {
      const code = error instanceof LamplighterError ? error.code : 'ERR_INTERNAL';
      refused.set(code, (refused.get(code) ?? 0) + 1);
      // What is our own fault, or a machine's that did prove who it is, tells nothing of an attacker.
      if (ATTACKERS_CODES.has(code)) attempts.note(exchange.remoteAddress);
      if (code !== 'ERR_QUOTA')
        options.log?.warn({ code, address: exchange.remoteAddress }, 'enrolment refused');
      throw error;
    }
  }

  const route = options.listener.route({
    method: 'POST',
    path: ENROLL_PATH,
    roles: 'anyone',
    maxBodyBytes: MAX_ENROLL_BYTES,
    handle,
  });
  return {
    remove: () => route.remove(),
    status: () => ({ enrolled, refused: Object.fromEntries(refused) }),
  };
}

/** What somebody without the secret can cause. */
const ATTACKERS_CODES: ReadonlySet<string> = new Set([
  'ERR_BAD_REQUEST',
  'ERR_TOKEN_UNKNOWN',
  'ERR_TOKEN_EXPIRED',
  'ERR_TOKEN_REVOKED',
  'ERR_ENROLL_PROOF',
]);

async function enrol(exchange: Exchange, options: EnrollServiceOptions): Promise<IssuedAnswer> {
  const { folder, environment, log } = options;
  const nowMs = Number(environment.realtimeNs() / 1_000_000n);
  const asked = decodeEnrollRequest(exchange.body);
  const tokens = new TokenFolder(folder);
  const record = await tokens.usable(asked.token, nowMs);
  const csr = await provedRequest(exchange, asked, record);
  const { id, role, dns, ip } = record;
  // Opened for every use, as another process may have rotated it; and before a use is taken, as it may not be usable.
  const authority = await Authority.open(folder);
  const csrHash = createHash('sha256').update(csr.der).digest('hex');
  const use = await tokens.spend(record, csrHash, { mayBe: (name) => !options.isRevoked(name), nowMs });
  const { name } = use;
  const issued = await authority.issue({
    spki: csr.spki,
    role,
    name,
    dns,
    ip,
    lifeMs: record.lifeMs ?? options.lifeMs,
    how: 'enroll',
  });
  const { serial } = issued;
  log?.info({ role, name, serial, token: id, repeated: use.isRepeated }, 'enrolled');
  await tokens.noteIssued(id, use.number, { csrHash, name, atMs: nowMs, serial }).catch((error: unknown) => {
    // The CA's own register has it.
    const code = error instanceof LamplighterError ? error.code : 'ERR_INTERNAL';
    log?.warn({ code, token: id }, 'the use of the token does not say which certificate it gave');
  });
  const { beaconPort, relays } = options;
  return {
    certificate: issued.pem,
    trust: authority.trust(),
    name,
    role,
    ...(relays !== undefined && relays.length > 0 && { relays }),
    ...(beaconPort !== undefined && { beaconPort }),
  };
}

/** The request, once its sender has proved that he knows the secret; only then is it worth reading. */
async function provedRequest(
  exchange: Exchange,
  { csr: pem, proof, role }: EnrollRequest,
  record: TokenRecord,
): Promise<{ der: Buffer; spki: Buffer }> {
  const exporter = exchange.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL);
  const expected = enrollProof(record.proofKey, exporter, derOf(pem));
  wipe(exporter, record.proofKey);
  const isProved = timingSafeEqual(expected, proof);
  wipe(expected);
  if (!isProved) {
    throw new LamplighterError('ERR_ENROLL_PROOF', 'the proof is not for this token, connection and request');
  }
  if (role !== record.role) {
    throw new LamplighterError('ERR_TOKEN_ROLE', `the token is for role ${record.role}, not ${role}`);
  }
  const csr = await readCsr(pem);
  // A name that is still to be made is nobody's to ask for: `…` stands in no name.
  refuseForeignNames(csr, { ...record, name: record.name ?? '…' });
  return csr;
}

/** What the proof covers, before it is known whether it is a request: whatever is no PEM has an empty one. */
function derOf(pem: string): Buffer {
  const base64 = /-----BEGIN CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END/.exec(pem)?.[1];
  return Buffer.from(base64 ?? '', 'base64');
}
