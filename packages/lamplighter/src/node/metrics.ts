import { Counter, Gauge, Registry } from 'prom-client';
import type { FleetStatus } from '../wire/fleet-status.js';
import type { NodeStatus } from '../wire/status.js';

/**
 * The status as Prometheus metrics: computed from it at every scrape, so the two cannot disagree. Label sets are bounded
 * by the configuration; no metric holds a byte of entropy.
 */
export function newMetrics(status: () => NodeStatus): { contentType: string; text(): Promise<string> } {
  const registers = [new Registry()];
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `lamplighter_${name}`, help, labelNames, registers });
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `lamplighter_${name}_total`, help, labelNames, registers });

  const info = gauge('info', 'Name and version of this node.', ['node', 'software']);
  const serving = gauge('ready', '1 when the node serves, degraded or not.');
  const degraded = gauge('degraded', '1 when the node serves but something is wrong.');
  const uptime = gauge('uptime_seconds', 'Seconds since the node started.');
  const basis = gauge('basis', '1 for every word the output rests on.', ['word']);
  const reseeds = counter('reseeds', 'Reseeds of the generator, direct ones included.');
  const directReseeds = counter('direct_reseeds', 'Direct reseeds: first seeding, beacons.');
  const resumes = counter('resumes', 'Times this machine was found cloned, restored or asleep.');
  const sourceUp = gauge('source_up', '1 when the source is heard and nothing is wrong.', ['source', 'kind']);
  const sourceBytes = counter('source_bytes', 'Bytes heard from the source.', ['source', 'kind']);
  const sourceEvents = counter('source_events', 'Events the source put into the pools.', ['source', 'kind']);
  const outletUp = gauge('outlet_up', '1 when the outlet works.', ['outlet', 'kind']);
  const outletBytes = counter('outlet_bytes', 'Bytes handed out by the outlet.', ['outlet', 'kind']);
  const certificateEnd = gauge(
    'certificate_expires_seconds',
    'When this node’s certificate ends, since 1970.',
  );
  const peers = gauge('peers', 'Identities remembered, those who asked lately.');
  const peersRefused = counter('peers_refused', 'Connections and requests refused by policy.', ['why']);
  const revoked = gauge('revoked', 'Entries of the policy that revoke.', ['by']);
  const policyStale = gauge('policy_stale', '1 when the policy cannot be learned now.');
  const enrolled = counter('enrolled', 'Machines enrolled here.');
  const enrolRefused = counter('enrolment_refused', 'Enrolments refused, by error code.', ['code']);
  const renewed = counter('certificates_renewed', 'Certificates renewed here for others.');
  const auditLost = counter('audit_lost', 'Records of beacons that could not be written.');
  const residentMemory = gauge('resident_memory_bytes', 'Resident memory of the process.');

  function collect(now: NodeStatus): void {
    registers[0]?.resetMetrics();
    info.set({ node: now.name, software: now.software }, 1);
    serving.set(now.state === 'ready' || now.state === 'degraded' ? 1 : 0);
    degraded.set(now.state === 'degraded' ? 1 : 0);
    uptime.set(now.uptimeMs / 1_000);
    for (const word of ['simulated', 'degraded', 'physical'])
      basis.set({ word }, now.basis.includes(word) ? 1 : 0);
    reseeds.inc(now.generator.reseeds);
    directReseeds.inc(now.generator.directReseeds);
    resumes.inc(now.resume?.count ?? 0);
    for (const { name: source, kind, state, bytes, events } of now.sources) {
      sourceUp.set({ source, kind }, state === 'ok' ? 1 : 0);
      sourceBytes.inc({ source, kind }, bytes);
      sourceEvents.inc({ source, kind }, events);
    }
    for (const { name: outlet, kind, state, bytes } of now.outlets) {
      outletUp.set({ outlet, kind }, state === 'ok' ? 1 : 0);
      outletBytes.inc({ outlet, kind }, bytes);
    }
    if (now.fleet) collectFleet(now.fleet);
    residentMemory.set(process.memoryUsage.rss());
  }

  function collectFleet({
    certificate,
    peers: known,
    policy,
    enrolment,
    renewals,
    audit,
  }: FleetStatus): void {
    certificateEnd.set(Date.parse(certificate.notAfter) / 1_000);
    peers.set(known.identities);
    for (const [why, count] of Object.entries(known.refused)) peersRefused.inc({ why }, count);
    revoked.set({ by: 'name' }, policy?.revokedNames ?? 0);
    revoked.set({ by: 'serial' }, policy?.revokedSerials ?? 0);
    policyStale.set(policy?.reason === undefined ? 0 : 1);
    enrolled.inc(enrolment?.enrolled ?? 0);
    for (const [code, count] of Object.entries(enrolment?.refused ?? {})) enrolRefused.inc({ code }, count);
    renewed.inc(renewals?.renewed ?? 0);
    auditLost.inc(audit?.lost ?? 0);
  }

  const [registry] = registers;
  return {
    contentType: registry?.contentType ?? 'text/plain',
    async text() {
      collect(status());
      return (await registry?.metrics()) ?? '';
    },
  };
}
