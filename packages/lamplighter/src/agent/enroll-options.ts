import type { Role } from '../identity/roles.js';
import type { BootDoors } from './boot.js';

/** What an enrolment is told. */
export interface EnrollOptions {
  /** The relay's port for enrolment, https. */
  readonly relay: URL;
  /** As `token create` printed it. */
  readonly token: string;
  /** The role wanted; a token for another is refused before anything is done. */
  readonly role: Role;
  /** Where identity, trust and configuration go. */
  readonly folder: string;
  /** Where the machine seed is. */
  readonly state: string;
  /** The name the relay's certificate must carry, instead of its host name. */
  readonly peer?: string;
  /** Do nothing at all unless the token's secret keys this process's OpenSSL first. */
  readonly requireHedge?: boolean;
  /** Not the first boot after it. */
  readonly noBoot?: boolean;
  /** For each of the two connections, ms. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  /** Hears what is being done, a line each; no secret. */
  readonly onProgress: (line: string) => void;
}

/** What an enrolment does its work with. */
export type EnrollDoors = Omit<BootDoors, 'keeper' | 'outgoing'>;

/** Where an agent keeps its seed unless told otherwise. */
export const DEFAULT_STATE = '/var/lib/lamplighter';
