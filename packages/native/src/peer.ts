import { type Ability, able, unable } from './ability.js';
import { addon } from './addon.js';

/** Who connected, as the kernel noted it at that moment. */
export interface PeerCredentials {
  /** 0 when the peer is in a pid namespace that this process cannot see. May be another process's by now. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * The process at the other end of a unix socket: SO_PEERCRED (unix(7)).
 * @param fd - of a connected unix socket
 * @returns unsupported with a reason when `fd` is something else, or has no peer
 * @throws TypeError, RangeError when `fd` is no whole number ≥ 0
 */
export function peerCredentials(fd: number): Ability<PeerCredentials> {
  const found = addon();
  if (!found.supported) return found;
  const answer = found.value.peerCredentials(fd);
  return typeof answer === 'string' ? unable(answer) : able(answer);
}
