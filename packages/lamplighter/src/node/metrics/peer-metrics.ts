import type { ListenerStatus } from '../../wire/status.js';
import { counter, gauge, type Metric, one, type Sample, secondsOf } from './metric.js';

const each = (counts: Readonly<Record<string, number>> | undefined): Sample[] =>
  Object.entries(counts ?? {}).map(([label, count]) => [count, label]);

const pending = ({ begun, waiting, silent }: ListenerStatus['handshakes']): Sample[] =>
  each({ begun, waiting, silent });

/** Who comes, and who is let in. */
export const PEER_METRICS: readonly Metric[] = [
  gauge('listener_open_connections', 'Connections whose handshake is done.', [], ({ listener }) =>
    one(listener?.connections),
  ),
  counter('listener_handshakes', 'TLS handshakes done.', [], ({ listener }) =>
    one(listener?.handshakes.done),
  ),
  gauge(
    'listener_pending_handshakes',
    'Connections whose handshake is not done: begun, waiting for a place, or silent.',
    ['stage'],
    ({ listener }) => (listener ? pending(listener.handshakes) : []),
  ),
  gauge('listener_queued_requests', 'Requests that wait for their answer.', [], ({ listener }) =>
    one(listener?.queued),
  ),
  counter(
    'listener_refused',
    'Connections and requests refused or dropped, by reason.',
    ['reason'],
    ({ listener }) => each(listener?.refused),
  ),

  gauge('peers', 'Identities remembered, those who asked lately.', [], ({ fleet }) =>
    one(fleet?.peers.identities),
  ),
  counter('peers_refused', 'Connections and requests refused by policy or quota.', ['why'], ({ fleet }) =>
    each(fleet?.peers.refused),
  ),
  gauge('policy_revoked', 'Entries of the policy that revoke.', ['by'], ({ fleet }) =>
    fleet?.policy ? each({ name: fleet.policy.revokedNames, serial: fleet.policy.revokedSerials }) : [],
  ),
  gauge('policy_stale', '1 when the policy cannot be learned now.', [], ({ fleet }) =>
    one(fleet?.policy && fleet.policy.reason !== undefined),
  ),
  gauge('certificate_expiry_timestamp_seconds', "When this node's certificate ends.", [], ({ fleet }) =>
    one(secondsOf(fleet?.certificate.notAfter)),
  ),
  gauge(
    'certificate_renewal_timestamp_seconds',
    "When this node's certificate will be renewed; absent when nothing renews it.",
    [],
    ({ fleet }) => one(secondsOf(fleet?.certificate.renewsAt)),
  ),
  gauge('certificate_fault', '1 when the certificate ends soon or cannot be renewed.', [], ({ fleet }) =>
    one(fleet && fleet.certificate.reason !== undefined),
  ),
  counter('enrolled', 'Machines enrolled here.', [], ({ fleet }) => one(fleet?.enrolment?.enrolled)),
  counter('enrolment_refused', 'Enrolments refused, by error code.', ['code'], ({ fleet }) =>
    each(fleet?.enrolment?.refused),
  ),
  counter('certificates_renewed', 'Certificates renewed here for others.', [], ({ fleet }) =>
    one(fleet?.renewals?.renewed),
  ),
  counter('renewals_refused', 'Renewals refused here.', [], ({ fleet }) => one(fleet?.renewals?.refused)),
  counter('audit_records', 'Records of beacons written.', [], ({ fleet }) => one(fleet?.audit?.records)),
  counter('audit_lost', 'Records of beacons that could not be written.', [], ({ fleet }) =>
    one(fleet?.audit?.lost),
  ),
];
