import type { Role } from '../identity/roles.js';
import type { CertificateStatus } from './certificate-status.js';
import type { PolicyStatus } from './policy.js';
import type { Reason } from './reason.js';

/** What one identity has taken since it was last forgotten. */
export interface PeerSpending {
  readonly role: Role;
  readonly name: string;
  readonly connections: number;
  readonly beacons: number;
  readonly feedBytes: number;
  /** Requests and connections refused for its quota. */
  readonly refused: number;
}

/** Who was let in and kept out since the start. */
export interface PeersStatus {
  /** Remembered now. */
  readonly identities: number;
  readonly refused: {
    readonly quota: number;
    readonly connections: number;
    readonly revoked: number;
    /** There was no place to remember another identity. */
    readonly identities: number;
  };
  /** Those who took most, at most ten. */
  readonly top: readonly PeerSpending[];
}

/** What enrolment has done since the start. */
export interface EnrollStatus {
  readonly enrolled: number;
  /** How often what was refused, by error code. */
  readonly refused: Readonly<Record<string, number>>;
}

/** What renewal for others has done since the start. */
export interface RenewalStatus {
  readonly renewed: number;
  readonly refused: number;
}

/** How the record of who got a beacon does. */
export interface AuditStatus {
  readonly file: string;
  /** Written by this process. */
  readonly records: number;
  /** Not written, because the disk could not take them in time. */
  readonly lost: number;
  /** Why nothing is written now. */
  readonly reason?: Reason;
}

/** A node among its peers. */
export interface FleetStatus {
  /** Its own. */
  readonly certificate: CertificateStatus;
  readonly peers: PeersStatus;
  /** Absent when it follows none. */
  readonly policy?: PolicyStatus;
  /** Absent unless it is the CA. */
  readonly renewals?: RenewalStatus;
  /** Absent unless machines enrol here. */
  readonly enrolment?: EnrollStatus;
  /** Absent when nothing is recorded. */
  readonly audit?: AuditStatus;
}

/** What of it somebody should look at. */
export function fleetReasons({ certificate, policy, audit }: FleetStatus): Reason[] {
  return [certificate.reason, policy?.reason, audit?.reason].filter((reason) => reason !== undefined);
}
