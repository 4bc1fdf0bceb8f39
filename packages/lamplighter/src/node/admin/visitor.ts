import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { identityOfCertificate, type PeerIdentity, type Role } from '../../identity/roles.js';
import { hasCsrf, type Session, type Sessions } from './sessions.js';

/** What is asked of whoever wants something.
 *
 * - `anyone`: nothing.
 * - `reader`: over TLS a certificate of a listed role, or a session; on loopback without TLS nothing.
 * - `session`: a session and its CSRF token, wherever it comes from.
 * - `writer`: the same, or a certificate of a listed role.
 */
export type Need = 'anyone' | 'reader' | 'session' | 'writer';

/** Who sent a request. */
export interface Visitor {
  readonly session: Session | undefined;
  /** Whether it may still have what it was given: its session lasts, its certificate is good and not revoked. */
  isStillAllowed(): boolean;
}

/** What visitors are known by. */
export interface VisitorRules {
  readonly isTls: boolean;
  readonly roles: readonly Role[];
  readonly sessions: Sessions;
  /** Name of the session's cookie. */
  readonly cookie: string;
  /** @throws LamplighterError ERR_REVOKED */
  readonly admit: (peer: PeerIdentity) => void;
}

/** The header that carries a session's CSRF token. */
export const CSRF_HEADER = 'x-lamplighter-csrf';
const MAX_COOKIES = 8;

/** Whoever a certificate speaks for, and until when. */
interface Holder {
  readonly peer: PeerIdentity;
  readonly expiresMs: number;
}

/**
 * Finds out who asks, and whether he may.
 * @throws LamplighterError ERR_LOGIN, ERR_ROLE, ERR_REVOKED, ERR_ORIGIN (without the CSRF token)
 */
export function visitorOf(request: IncomingMessage, need: Need, rules: VisitorRules): Visitor {
  const session = sessionOf(request, rules);
  const allowedHolder = (): boolean => {
    const holder = holderOf(request);
    if (holder === undefined || !rules.roles.includes(holder.peer.role)) return false;
    rules.admit(holder.peer);
    return Date.now() < holder.expiresMs;
  };
  const isOpen = need === 'anyone' || (need === 'reader' && !rules.isTls);
  const byCertificate = !isOpen && need !== 'session' && allowedHolder();
  if (!isOpen && !byCertificate) {
    if (session === undefined) throw unknownVisitor(request, need, rules);
    if (need !== 'reader') checkCsrf(request, session);
  }
  return {
    session,
    isStillAllowed() {
      if (isOpen) return true;
      if (!byCertificate) return session !== undefined && rules.sessions.isLive(session);
      try {
        return allowedHolder();
      } catch {
        return false;
      }
    },
  };
}

function sessionOf({ headers }: IncomingMessage, { cookie, sessions }: VisitorRules): Session | undefined {
  // Cookies of other servers on this host come along.
  const ours = (headers.cookie ?? '')
    .split(/; */)
    .filter((pair) => pair.startsWith(`${cookie}=`))
    .slice(0, MAX_COOKIES);
  for (const pair of ours) {
    const session = sessions.find(pair.slice(cookie.length + 1));
    if (session !== undefined) return session;
  }
  return undefined;
}

function checkCsrf({ headers }: IncomingMessage, session: Session): void {
  const told = headers[CSRF_HEADER];
  if (typeof told === 'string' && hasCsrf(session, told)) return;
  throw new LamplighterError('ERR_ORIGIN', `the ${CSRF_HEADER} header is not that of this session`);
}

function unknownVisitor(request: IncomingMessage, need: Need, rules: VisitorRules): LamplighterError {
  const peer = need === 'session' ? undefined : holderOf(request)?.peer;
  if (rules.isTls && peer !== undefined && !rules.roles.includes(peer.role)) {
    return new LamplighterError('ERR_ROLE', `role ${peer.role} may not ask for this`);
  }
  return new LamplighterError('ERR_LOGIN', 'this needs a login', {
    hint: 'run `lamplighter dashboard link --config FILE` on the node’s machine and open what it prints',
  });
}

/** By connection: one certificate is asked for many things. */
const holders = new WeakMap<TLSSocket, Holder | 'nobody'>();

function holderOf({ socket }: IncomingMessage): Holder | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const known = holders.get(socket) ?? readHolder(socket);
  holders.set(socket, known);
  return known === 'nobody' ? undefined : known;
}

function readHolder(socket: TLSSocket): Holder | 'nobody' {
  const {
    subjectaltname: subjectAltName,
    fingerprint256,
    serialNumber,
    valid_to,
  } = socket.getPeerCertificate();
  try {
    const peer = identityOfCertificate({ subjectAltName, fingerprint256, serialNumber });
    return { peer, expiresMs: Date.parse(valid_to) };
  } catch {
    // A certificate of the CA without a role: it opens nothing, and a login still does.
    return 'nobody';
  }
}
