import type { HandshakeLimits } from './handshakes.js';
import type { RequestLineLimits } from './request-line.js';

/** Every bound of a listener. */
export interface ListenerLimits extends HandshakeLimits, RequestLineLimits {
  /** From the handshake, or the first byte of a later request, to the end of its headers. */
  readonly headersTimeoutMs: number;
  /** From the headers to the end of the body. */
  readonly requestTimeoutMs: number;
  /** For which a client may leave bytes lying that were sent to it. */
  readonly writeTimeoutMs: number;
  /** Between two requests on one connection. */
  readonly idleTimeoutMs: number;
  readonly maxHeaderBytes: number;
  /** Connections that have done their handshake; those beyond are told 503 and closed. */
  readonly maxConnections: number;
}

/** Implementation constants: the default of every bound. */
export const LISTENER_LIMITS: ListenerLimits = {
  handshakeTimeoutMs: 5_000,
  handshakeLineMs: 2_000,
  handshakePatienceMs: 1_000,
  // At a millisecond each; whoever is a tenth of a second away still finds a place.
  maxHandshakes: 128,
  maxWaiting: 256,
  maxSilent: 1_024,
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  writeTimeoutMs: 30_000,
  idleTimeoutMs: 65_000,
  maxHeaderBytes: 8_192,
  answerBudgetMs: 2,
  maxLagMs: 200,
  maxQueued: 64,
  maxConnections: 1_024,
};

/** Everything a listener counts instead of serving it. */
export const REFUSED_REASONS = [
  'handshake',
  'handshakeTimeout',
  'noCertificate',
  'certificate',
  'tooManyHandshakes',
  'tooManyConnections',
  'headersTimeout',
  'requestTimeout',
  'writeTimeout',
  'badRequest',
  'pipelined',
  'identity',
  'role',
  'revoked',
  'quota',
  'overloaded',
  'expired',
] as const;

/** Why a connection was dropped or a request refused. */
export type RefusedReason = (typeof REFUSED_REASONS)[number];
