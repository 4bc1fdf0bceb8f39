import type { Role } from '../identity/roles.js';
import type { Reason } from './reason.js';

/** A node's own certificate, as its status shows it. */
export interface CertificateStatus {
  readonly name: string;
  readonly role: Role;
  /** Upper-case hex. */
  readonly serial: string;
  /** ISO 8601. */
  readonly notAfter: string;
  /** When it will be renewed, ISO 8601; absent when nothing here renews it. */
  readonly renewsAt?: string;
  /** Why somebody should look: it expires soon, or cannot be renewed. */
  readonly reason?: Reason;
}
