import type { TlsMaterial } from '../identity/tls-files.js';
import type { Environment } from '../local/environment.js';
import { beaconSource } from '../sources/beacon.js';
import { labelOf } from '../sources/round.js';
import type { Source } from '../sources/source.js';
import type { OutgoingConnections } from '../wire/outgoing.js';
import { pollenSecrecy } from '../wire/pollen-url.js';
import type { Reason } from '../wire/status.js';
import { wayTo } from './carrier.js';
import type { AgentConfig } from './config.js';

/** Somebody elsewhere who is asked at a boot. */
export interface Peer {
  readonly kind: 'relay' | 'pollen';
  readonly name: string;
  readonly url: string;
  readonly source: Source;
  /** Of its answer in the mix. */
  readonly label: string;
  /**
   * Whether an answer it gave is a secret between it and this machine, as far as anybody can tell: only then does it count, and only
   * with such a one are answers folded into the seed.
   */
  isSecret(): boolean;
}

/** What a report says of one relay. */
export interface RelayReport {
  readonly name: string;
  readonly url: string;
  readonly answered: boolean;
  /** The key-exchange group of the connection, where the runtime tells. */
  readonly group?: string;
  readonly reason?: Reason;
  /** When it wants to be asked again. */
  readonly retryAfterMs?: number;
}

/** What a report says of one pollen server. */
export interface PollenReport extends Omit<RelayReport, 'group'> {
  /** Whether its answer is one of the beacons: over TLS under a CA that was named, and not a constant. */
  readonly counted: boolean;
  /** Of TLS; absent in the clear. */
  readonly protocol?: string;
}

/**
 * Everybody whom a configuration names, none of them asked yet.
 * @param prepare - awaited before each TLS connection
 */
export async function peersOf(
  config: AgentConfig,
  tls: TlsMaterial,
  prepare: () => Promise<void>,
  doors: { readonly environment: Environment; readonly outgoing: OutgoingConnections },
): Promise<readonly Peer[]> {
  const { deadlineMs } = config;
  const environment: Environment = {
    ...doors.environment,
    // Where a resume can cut it.
    connect: (endpoint) => doors.outgoing.connect(endpoint),
  };
  const relays = config.relays.map((relay): Peer => {
    const { name, url } = relay;
    const source = beaconSource(
      {
        name,
        upstream: {
          url: new URL(url),
          tls,
          roles: ['relay'],
          prepare,
          ...wayTo(relay, doors),
        },
        deadlineMs,
      },
      environment,
    );
    return { kind: 'relay', name, url, source, label: labelOf(source), isSecret: () => true };
  });
  if (config.pollen.length === 0) return relays;

  // A boot that asks none does not wait until the code for them is loaded.
  const { pollenSource } = await import('../sources/pollen.js');
  const pollen = config.pollen.map((server): Peer => {
    const { requireHybrid } = tls;
    const source = pollenSource({ ...server, requireHybrid, deadlineMs, prepare }, environment);
    const isSecret = (): boolean => pollenSecrecy(server) === 'pinned' && source.status().state === 'ok';
    return { kind: 'pollen', name: server.name, url: server.url, source, label: labelOf(source), isSecret };
  });
  return [...relays, ...pollen];
}

/** What is said of a relay. @param unasked - why nobody was asked, if nobody was */
export function relayReport(peer: Peer, answered: boolean, unasked: Reason | undefined): RelayReport {
  const { group } = peer.source.status().details;
  return { ...reportOf(peer, answered, unasked), ...(typeof group === 'string' && { group }) };
}

/** What is said of a pollen server. @param unasked - why nobody was asked, if nobody was */
export function pollenReport(peer: Peer, answered: boolean, unasked: Reason | undefined): PollenReport {
  const { details, reason } = peer.source.status();
  return {
    ...reportOf(peer, answered, unasked),
    // One that gives a constant has answered, and has something wrong with it.
    ...(answered && reason && { reason }),
    counted: answered && peer.isSecret(),
    ...(typeof details['protocol'] === 'string' && { protocol: details['protocol'] }),
  };
}

function reportOf({ name, url, source }: Peer, answered: boolean, unasked: Reason | undefined): RelayReport {
  const { reason = unasked, details } = source.status();
  const { retryAfterMs } = details;
  return {
    name,
    url,
    answered,
    ...(!answered && reason && { reason }),
    ...(!answered && typeof retryAfterMs === 'number' && { retryAfterMs }),
  };
}
