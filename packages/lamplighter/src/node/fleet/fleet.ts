import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { parseLife } from '../../identity/life.js';
import type { TlsMaterial, TlsOptions } from '../../identity/tls-files.js';
import type { Environment } from '../../local/environment.js';
import type { NativeDoors } from '../../local/native-doors.js';
import type { BeaconRecord } from '../../outlets/beacon.js';
import type { FleetStatus } from '../../wire/fleet-status.js';
import { Listener, type ListenerOptions } from '../../wire/listener.js';
import type { Upstream } from '../../wire/upstream.js';
import type { Log } from '../log.js';
import { AuditLog, type AuditOrigin } from './audit.js';
import { type AuditConfig, type AuthorityConfig, quotasOf, type QuotasConfig } from './config.js';
import { enrollMaterial, enrollService } from './enroll-service.js';
import { PolicyGate } from './gate.js';
import { OwnCertificate, type Renewer } from './own-certificate.js';
import { type PolicyAuthority, PolicyFollower } from './policy-follower.js';
import { policyRoute } from './policy-route.js';
import { folderRenewer, upstreamRenewer } from './renewers.js';
import { renewRoute } from './renew-route.js';

/** What of a node's configuration concerns its peers and its own certificate. */
export interface FleetConfig {
  readonly state: string;
  readonly authority?: AuthorityConfig | undefined;
  readonly quotas: QuotasConfig;
  readonly audit?: AuditConfig | undefined;
}

export interface FleetOptions {
  readonly environment: Environment;
  readonly native: NativeDoors;
  readonly log: Log;
  /** Who writes the audit record. */
  readonly origin: AuditOrigin;
  /** How connections to the authority are made. */
  readonly connect: NonNullable<Upstream['connect']>;
  /** Where its certificate, key and CA are now. */
  readonly paths: () => TlsOptions;
  /** What the node holds now. */
  readonly tls: () => TlsMaterial;
  /** The node's certificate or its CA changed. */
  readonly onTls: (tls: TlsMaterial) => void;
  /** What every listener of the node is made with. */
  readonly listening: Pick<ListenerOptions, 'before' | 'onError'>;
}

/**
 * A node among its peers: who is let in and how much they may take, the record of who got what, this node's own certificate; and,
 * when the node is the CA, enrolment, renewal and the policy for everybody else.
 */
export class Fleet {
  readonly gate: PolicyGate;
  readonly #config: FleetConfig;
  readonly #options: FleetOptions;
  readonly #audit: AuditLog | undefined;
  readonly #policy: PolicyFollower | undefined;
  readonly #certificate: OwnCertificate;
  readonly #routes: { remove(): void }[] = [];
  #listener: Listener | undefined;
  #enrolling: Listener | undefined;
  #enrolled: ReturnType<typeof enrollService> | undefined;
  #renewed: ReturnType<typeof renewRoute> | undefined;

  constructor(config: FleetConfig, options: FleetOptions) {
    const { environment, native } = options;
    const { authority, audit } = config;
    this.#config = config;
    this.#options = options;
    this.gate = new PolicyGate({ environment, quotas: quotasOf(config.quotas) });
    this.#audit =
      audit &&
      new AuditLog({
        path: join(audit.folder, `${options.origin.node}.jsonl`),
        maxBytes: audit.maxBytes,
        files: audit.files,
        origin: options.origin,
        environment,
        native,
      });
    this.#policy = authority && new PolicyFollower(originOf(authority, config.state, options), environment);
    this.#certificate = new OwnCertificate({
      paths: options.paths,
      current: options.tls,
      authority: authority && renewerOf(authority, options),
      environment,
      onChange: options.onTls,
    });
  }

  /** Notes who got a beacon; undefined when nobody wants to know. */
  get audit(): ((record: BeaconRecord) => void) | undefined {
    const audit = this.#audit;
    return audit && ((record) => audit.record(record));
  }

  /**
   * Learns the policy, opens the record, begins to watch the certificate. Before anything is served.
   * @param listener - made with {@link Fleet.gate}: whoever is revoked loses his connections there at once
   * @throws LamplighterError ERR_CERTIFICATE_EXPIRED when this node is the CA and could not make itself a new one
   */
  async start(listener: Listener | undefined): Promise<void> {
    this.#listener = listener;
    this.#policy?.onChange((policy) => {
      this.gate.apply(policy);
      this.#listener?.destroyPeers((peer) => this.gate.isRevoked(peer), REVOKED);
    });
    await Promise.all([this.#policy?.start(), this.#audit?.open()]);
    await this.#certificate.renewExpired();
    this.#certificate.start();
  }

  /**
   * Serves what a CA serves, when this node is one.
   * @param beaconPort - where new machines are sent; undefined when this node gives no beacons
   * @throws LamplighterError ERR_PORT_IN_USE, ERR_LISTEN
   */
  async serve(beaconPort: number | undefined): Promise<void> {
    const { authority } = this.#config;
    const listener = this.#listener;
    if (authority?.folder === undefined || listener === undefined) return;
    const { environment, log, listening, tls } = this.#options;
    const { folder } = authority;
    const lifeMs = parseLife(authority.life);
    this.#renewed = renewRoute(listener, {
      folder,
      lifeMs,
      isRevoked: (peer) => this.gate.isRevoked(peer),
      environment,
      log,
    });
    this.#routes.push(this.#renewed);
    if (this.#policy) this.#routes.push(policyRoute(listener, this.#policy, environment));
    if (authority.enroll === undefined) return;
    this.#enrolling = new Listener(enrollMaterial(tls()), { ...listening, access: 'server' });
    this.#enrolled = enrollService({
      listener: this.#enrolling,
      folder,
      lifeMs,
      environment,
      ...(beaconPort !== undefined && { beaconPort }),
      ...(authority.relays.length > 0 && {
        relays: authority.relays.map(({ peer, ...relay }) => ({
          ...relay,
          ...(peer !== undefined && { peer }),
        })),
      }),
      isRevoked: (name) => this.#policy?.current()?.revokedNames.has(name) ?? true,
      log,
    });
    const { host, port } = await this.#enrolling.listen(authority.enroll);
    log.info({ host, port }, 'machines may enrol');
  }

  /** The node's certificate changed. */
  replaceTls(tls: TlsMaterial): void {
    this.#enrolling?.replaceTls(enrollMaterial(tls));
  }

  /** Destroys every connection of its own, see Listener.cut. */
  cut(): number {
    return this.#enrolling?.cut() ?? 0;
  }

  status(): FleetStatus {
    return {
      certificate: this.#certificate.status(),
      peers: this.gate.status(),
      ...(this.#policy && { policy: this.#policy.status() }),
      ...(this.#renewed && { renewals: this.#renewed.status() }),
      ...(this.#enrolled && { enrolment: this.#enrolled.status() }),
      ...(this.#audit && { audit: this.#audit.status() }),
    };
  }

  async stop(deadlineMs: number): Promise<void> {
    for (const route of this.#routes) route.remove();
    await Promise.all([
      this.#enrolling?.stop(deadlineMs),
      this.#policy?.stop(),
      this.#certificate.stop(),
      this.#audit?.stop(deadlineMs),
    ]);
  }
}

const REVOKED = new LamplighterError('ERR_REVOKED', 'the peer was revoked');

/** Where the policy is followed. */
function originOf(
  { folder, policy, url, peer }: AuthorityConfig,
  state: string,
  options: FleetOptions,
): PolicyAuthority {
  if (folder !== undefined) return { kind: 'ca', folder };
  if (policy !== undefined) return { kind: 'copy', folder: policy };
  return { kind: 'node', upstream: authorityUpstream({ url, peer }, options), state };
}

/** Where the node's own certificate is renewed; undefined when by hand. */
function renewerOf({ folder, life, url, peer }: AuthorityConfig, options: FleetOptions): Renewer | undefined {
  if (folder !== undefined) return folderRenewer({ folder, lifeMs: parseLife(life) });
  if (url === undefined) return undefined;
  // With the certificate of that moment, which the upstream reads when it connects.
  return upstreamRenewer(() => authorityUpstream({ url, peer }, options));
}

function authorityUpstream(
  { url, peer }: Pick<AuthorityConfig, 'url' | 'peer'>,
  { tls, connect }: FleetOptions,
): Upstream {
  return {
    url: new URL(url ?? ''),
    // Read at every connection: it may have been renewed.
    get tls() {
      return tls();
    },
    roles: ['office', 'relay'],
    connect,
    ...(peer !== undefined && { name: peer }),
  };
}
