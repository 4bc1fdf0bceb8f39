import type { FleetStatus } from '../wire/fleet-status.js';
import type { NodeStatus } from '../wire/status.js';
import { labelledLines } from './status-layout.js';
import { agoWords, countWords, timesWords } from './status-words.js';

interface View {
  readonly width: number;
  readonly nowMs: number;
}

/** Of those who took most, how many are named. */
const SHOWN_PEERS = 3;

/** The listener, and the lines of guests. */
export function listenerLines(
  { listen, listener, carriers = [], guests }: NodeStatus,
  { width }: View,
): string[] {
  const lines: string[] = [];
  if (listener !== undefined) {
    const { connections, handshakes, queued, refused } = listener;
    const at = listen === undefined ? '' : `${listen.host} port ${listen.port}: `;
    const waiting = `${handshakes.begun} handshakes, ${handshakes.waiting} waiting; ${queued} requests queued`;
    lines.push(
      ...labelledLines('listener', `${at}${connections} connections, ${waiting}${refusals(refused)}`, width),
    );
  }
  for (const { name, lines: open, sessions, refused, reason } of carriers) {
    const fault = reason === undefined ? '' : `; ${reason.message}`;
    lines.push(
      ...labelledLines(
        'carrier',
        `${name}: ${open} lines, ${sessions} connections, ${refused} refused${fault}`,
        width,
      ),
    );
  }
  if (guests !== undefined) {
    const { socket, told, refused, qmp } = guests;
    const following = qmp.filter((one) => one.following).length;
    const monitors = qmp.length === 0 ? '' : `; ${following} of ${qmp.length} monitors followed`;
    lines.push(
      ...labelledLines('guests', `${socket}: told ${timesWords(told)}, ${refused} refused${monitors}`, width),
    );
  }
  return lines;
}

/** Certificate, peers, policy, and what a CA does. */
export function fleetLines({ fleet }: NodeStatus, { width, nowMs }: View): string[] {
  if (fleet === undefined) return [];
  const { certificate, peers, policy, renewals, enrolment, audit } = fleet;
  const renews = certificate.renewsAt === undefined ? '' : `, renews on ${day(certificate.renewsAt)}`;
  const rows: [string, string][] = [
    ['certificate', `${certificate.role} ${certificate.name} until ${day(certificate.notAfter)}${renews}`],
    [
      'peers',
      `${countWords(peers.identities)} known${refusals({ ...peers.refused })}${greediest(peers.top)}`,
    ],
  ];
  if (policy !== undefined) {
    const changed = policy.changedAt === undefined ? '' : `, changed ${agoWords(policy.changedAt, nowMs)}`;
    rows.push([
      'policy',
      policy.from === 'none'
        ? 'not known yet: nobody is kept out'
        : `${policy.revokedNames} names and ${policy.revokedSerials} certificates revoked, ${policy.quotas} quotas${changed}`,
    ]);
  }
  if (enrolment !== undefined) {
    rows.push(['enrolment', `${countWords(enrolment.enrolled)} enrolled${refusals(enrolment.refused)}`]);
  }
  if (renewals !== undefined) {
    rows.push([
      'renewals',
      `${countWords(renewals.renewed)} renewed, ${countWords(renewals.refused)} refused`,
    ]);
  }
  if (audit !== undefined) {
    const lost = audit.lost === 0 ? '' : `, ${countWords(audit.lost)} lost`;
    rows.push(['audit', `${audit.file}: ${countWords(audit.records)} records${lost}`]);
  }
  return rows.flatMap(([label, text]) => labelledLines(label, text, width));
}

function greediest(top: FleetStatus['peers']['top']): string {
  if (top.length === 0) return '';
  const named = top
    .slice(0, SHOWN_PEERS)
    .map(({ role, name, beacons, feedBytes }) =>
      feedBytes > 0
        ? `${role} ${name} (${countWords(feedBytes)} feed bytes)`
        : `${role} ${name} (${countWords(beacons)} beacons)`,
    );
  return `; most: ${named.join(', ')}`;
}

function refusals(counts: Readonly<Record<string, number>>): string {
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  return some.length === 0
    ? ''
    : `; refused: ${some.map(([why, count]) => `${why} ${countWords(count)}`).join(', ')}`;
}

const day = (iso: string): string => iso.slice(0, 10);
