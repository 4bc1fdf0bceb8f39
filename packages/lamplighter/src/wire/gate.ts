import type { PeerIdentity } from '../identity/roles.js';

/** What a peer's budget is kept in. */
export type Spending = 'beacons' | 'feedBytes';

/**
 * Who may do how much: asked by a Listener about every connection and request. It decides by identity and knows nothing of
 * what is asked for.
 */
export interface Gate {
  /**
   * A peer's handshake is done. When this throws, the connection's first request is answered with the error, and it closes.
   * @throws LamplighterError ERR_REVOKED, ERR_TOO_MANY_CONNECTIONS; nothing is counted then
   */
  open(peer: PeerIdentity): void;

  /** A connection for which {@link Gate.open} did not throw is gone. */
  close(peer: PeerIdentity): void;

  /**
   * Before every request, before its body is read.
   * @throws LamplighterError ERR_REVOKED: the connection is closed after the answer
   */
  admit(peer: PeerIdentity): void;

  /**
   * Takes from a peer's budget.
   * @param amount - beacons, or bytes
   * @throws LamplighterError ERR_QUOTA with `retryAfterMs`; nothing is taken then
   */
  spend(peer: PeerIdentity, what: Spending, amount: number): void;
}
