import { LamplighterError, wipe } from '@lamplighter/core';
import { renewalDueMs } from '../identity/certificate-life.js';
import { replaceIdentity } from '../identity/identity-files.js';
import type { Role } from '../identity/roles.js';
import { loadTlsFiles, type TlsMaterial } from '../identity/tls-files.js';
import { readTrustFile } from '../identity/trust-list.js';
import { monotonicMs } from '../local/environment.js';
import type { Upstream } from '../wire/client.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason } from '../wire/status.js';
import type { BootDoors } from './boot.js';
import { wayTo } from './carrier.js';
import type { AgentConfig } from './config.js';

/*
 * Loaded with every agent: what is needed only when a certificate is due is loaded only then.
 */

/** What became of the machine's own certificate. */
export interface RenewalReport {
  readonly role: Role;
  readonly name: string;
  /** Whether there is a new one now. */
  readonly renewed: boolean;
  /** Who gave it: a relay's name, or the address of the authority. */
  readonly by?: string;
  /** When the one that is used now ends, ISO 8601. */
  readonly notAfter: string;
  /** When it should be renewed, ISO 8601; absent when that is somebody else's affair. */
  readonly renewsAt?: string;
  /** Why there is no new one, though it was time. */
  readonly reason?: Reason;
  /** When whoever refused wants to be asked again. */
  readonly retryAfterMs?: number;
}

/** What a renewal does its work with. */
export type RenewalDoors = Pick<BootDoors, 'environment' | 'keeper' | 'outgoing'>;

export interface RenewalOptions {
  readonly signal: AbortSignal;
  /** Also when it is not time yet. */
  readonly force?: boolean;
  /** For everybody who is asked together, ms; default 5,000. */
  readonly deadlineMs?: number;
  /** Connect only with the hedge, as at a boot. */
  readonly requireHedge?: boolean;
}

/** Somebody who may be the CA, or know it. */
interface Candidate {
  readonly name: string;
  readonly url: string;
  readonly peer?: string | undefined;
  readonly device?: string | undefined;
}

const DEADLINE_MS = 5_000;
/** They say that whoever was asked is no CA. */
const NO_AUTHORITY = ['ERR_NOT_FOUND', 'ERR_METHOD'];

/**
 * Renews the machine's certificate over the one it has, when that is due: from the configured authority, else from each relay in
 * turn. To be called when a boot or refresh has seeded the kernel, never before: nothing waits for a certificate.
 *
 * Every connection is hedged. The new files are used from the next connection on.
 * @returns what was done; that it could not be renewed is no error
 * @throws LamplighterError when there is no usable certificate; ERR_RENEWAL when it has expired
 */
export async function renewIfDue(
  config: AgentConfig,
  doors: RenewalDoors,
  options: RenewalOptions,
): Promise<RenewalReport> {
  const tls = await currentTls(config);
  const dueMs = agentRenewsMs(config, tls);
  const nowMs = Number(doors.environment.realtimeNs() / 1_000_000n);
  if (options.force !== true && nowMs < (dueMs ?? Infinity)) return reportOf(config, tls, { renewed: false });
  try {
    const by = await renewAt(candidatesOf(config), tls, config, doors, options);
    return reportOf(config, await loadTlsFiles(config.tls), { renewed: true, by });
  } catch (error) {
    const retryAfterMs = error instanceof LamplighterError ? error.retryAfterMs : undefined;
    return reportOf(config, tls, {
      renewed: false,
      reason: reasonOf(error),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  }
}

/**
 * When an agent renews its certificate, ms since 1970: when it is due by {@link renewalDueMs}.
 * @returns undefined when the agent leaves it to others: no authority is configured, and the CA file is no list of a CA of ours
 */
export function agentRenewsMs(
  { authority }: Pick<AgentConfig, 'authority'>,
  tls: TlsMaterial,
): number | undefined {
  if (authority === undefined && readTrustFile(tls.ca).sequence === 0) return undefined;
  return renewalDueMs(tls);
}

function reportOf(
  config: AgentConfig,
  tls: TlsMaterial,
  rest: Pick<RenewalReport, 'renewed' | 'by' | 'reason' | 'retryAfterMs'>,
): RenewalReport {
  const { role, name } = tls.identity;
  const dueMs = agentRenewsMs(config, tls);
  return {
    role,
    name,
    notAfter: tls.notAfter.toISOString(),
    ...(dueMs !== undefined && { renewsAt: new Date(dueMs).toISOString() }),
    ...rest,
  };
}

async function currentTls(config: AgentConfig): Promise<TlsMaterial> {
  try {
    return await loadTlsFiles(config.tls);
  } catch (cause) {
    if (!(cause instanceof LamplighterError) || !/ expired on /.test(cause.message)) throw cause;
    const { ENROL_AGAIN } = await import('../wire/renew.js');
    throw new LamplighterError('ERR_RENEWAL', `${cause.message}: nothing can be renewed over it`, {
      hint: ENROL_AGAIN,
      cause,
    });
  }
}

function candidatesOf({ authority, relays }: AgentConfig): readonly Candidate[] {
  return authority === undefined ? relays : [{ ...authority, name: new URL(authority.url).host }];
}

/** @returns who has renewed it */
async function renewAt(
  candidates: readonly Candidate[],
  tls: TlsMaterial,
  config: AgentConfig,
  doors: RenewalDoors,
  { signal, deadlineMs = DEADLINE_MS, requireHedge = false }: RenewalOptions,
): Promise<string> {
  const { renew } = await import('../wire/renew.js');
  const untilMs = monotonicMs(doors.environment) + deadlineMs;
  let failure: unknown;
  for (const [at, candidate] of candidates.entries()) {
    // One who never answers leaves time for the others.
    const shareMs = (untilMs - monotonicMs(doors.environment)) / (candidates.length - at);
    try {
      const upstream = upstreamOf(candidate, tls, doors, requireHedge);
      const trustFile = tls.ca;
      const renewed = await renew(upstream, { current: tls, trustFile, deadlineMs: shareMs, signal });
      try {
        const { keyPem, certificatePem, trust } = renewed;
        await replaceIdentity(config.tls, { keyPem, certificatePem, ...(trust !== undefined && { trust }) });
      } finally {
        wipe(renewed.keyPem);
      }
      return candidate.name;
    } catch (error) {
      if (!(error instanceof LamplighterError) || isFinal(error) || signal.aborted) throw error;
      if (!NO_AUTHORITY.includes(error.code)) failure = error;
    }
  }
  throw failure ?? nobody(config);
}

/** Others would say, or do, the same. */
function isFinal({ code }: LamplighterError): boolean {
  return ['ERR_REVOKED', 'ERR_OUTPUT_FILE', 'ERR_HEDGE_OFF', 'ERR_STOPPED', 'ERR_RENEWAL'].includes(code);
}

function upstreamOf(
  candidate: Candidate,
  tls: TlsMaterial,
  { keeper, outgoing, environment }: RenewalDoors,
  requireHedge: boolean,
): Upstream {
  return {
    url: new URL(candidate.url),
    tls,
    roles: ['relay', 'office'],
    prepare: async () => {
      await keeper.hedge();
      const { state, reason } = keeper.status();
      if (requireHedge && state !== 'on') {
        throw reason ?? new LamplighterError('ERR_HEDGE_OFF', 'the TLS hedge is off');
      }
    },
    ...wayTo(candidate, { environment, outgoing }),
  };
}

function nobody({ authority }: AgentConfig): LamplighterError {
  return authority === undefined
    ? new LamplighterError('ERR_RENEWAL', 'none of the relays renews certificates', {
        hint: 'name the node that is the CA (authority: { url: … }), or renew it by hand with `lamplighter ca issue`',
      })
    : new LamplighterError('ERR_RENEWAL', `${new URL(authority.url).host} renews no certificates`, {
        hint: 'the node there must have the CA: authority: { folder: … }',
      });
}
