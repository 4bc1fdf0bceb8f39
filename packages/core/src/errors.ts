/**
 * What the caller must do about an operational error. Misuse by our own code is a TypeError or RangeError instead.
 *
 * - `wait`: nothing is wrong yet; try again later.
 * - `go-on-without`: this input or peer is lost for now; everything else carries on.
 * - `close-connection`: the peer broke the protocol or may not ask; end this exchange only.
 * - `fix-configuration`: a person has to change a file, a flag, a certificate or the machine.
 */
export type ErrorAction = 'wait' | 'go-on-without' | 'close-connection' | 'fix-configuration';

/** Every operational error code, with what its caller must do. One table, so that `switch (error.code)` narrows. */
export const ERROR_ACTIONS = {
  // not yet
  ERR_NOT_SEEDED: 'wait',
  ERR_STOPPED: 'wait',
  ERR_RESEED_REQUIRED: 'wait',
  ERR_QUOTA: 'wait',
  ERR_OVERLOADED: 'wait',

  // an input is lost for now
  ERR_OS_RNG: 'go-on-without',
  ERR_DEADLINE: 'go-on-without',
  ERR_SOURCE_ABSENT: 'go-on-without',
  ERR_SOURCE_STUCK: 'go-on-without',
  ERR_CPU_RNG: 'go-on-without',
  ERR_CLOCK_COARSE: 'go-on-without',
  ERR_HEALTH_START_UP: 'go-on-without',
  ERR_HEALTH_STUCK: 'go-on-without',
  ERR_HEALTH_REPETITION_COUNT: 'go-on-without',
  ERR_HEALTH_ADAPTIVE_PROPORTION: 'go-on-without',
  ERR_SEED_MISSING: 'go-on-without',
  ERR_SEED_DAMAGED: 'go-on-without',
  ERR_SEED_BUSY: 'go-on-without',
  ERR_SEED_NOT_ROTATED: 'go-on-without',
  ERR_HEDGE_OFF: 'go-on-without',
  ERR_CLOCK: 'wait',
  ERR_CAMERA_GONE: 'go-on-without',
  ERR_CAMERA_STALLED: 'go-on-without',
  ERR_CAMERA_FORMAT: 'go-on-without',
  ERR_CAMERA_FRAME_TOO_LARGE: 'go-on-without',
  ERR_CAMERA_DARK: 'go-on-without',
  ERR_CAMERA_BLIND: 'go-on-without',
  ERR_CAMERA_FLAT: 'go-on-without',
  ERR_CAMERA_FROZEN: 'go-on-without',
  ERR_CAMERA_OVERLAY_ONLY: 'go-on-without',
  ERR_CAMERA_REPLAYED: 'go-on-without',
  ERR_CAMERA_LOW_NOISE: 'go-on-without',
  ERR_CAMERA_CHANGED: 'go-on-without',
  ERR_CAMERA_FAULTY: 'go-on-without',
  ERR_CAMERA_TOO_SHORT: 'go-on-without',
  ERR_CAMERA_NOT_DECODABLE: 'go-on-without',
  ERR_CHILD_EXITED: 'go-on-without',
  ERR_PROCESS_GONE: 'go-on-without',
  ERR_PROCESS_SILENT: 'go-on-without',
  ERR_MAILBOX_GONE: 'go-on-without',
  ERR_MAILBOX_CROWDED: 'go-on-without',
  ERR_MAILBOX_REFUSED: 'go-on-without',
  ERR_MAILBOX_NOT_REMOVED: 'go-on-without',
  ERR_MAILBOX_WRITE: 'go-on-without',
  ERR_XENSTORE_REFUSED: 'go-on-without',
  ERR_XENSTORE_VALUE: 'go-on-without',
  ERR_XENSTORE_CROWDED: 'go-on-without',
  ERR_UPSTREAM_UNREACHABLE: 'go-on-without',
  ERR_UPSTREAM_NOT_READY: 'go-on-without',
  ERR_UPSTREAM_STATUS: 'go-on-without',
  ERR_UPSTREAM_CERTIFICATE: 'go-on-without',
  ERR_UPSTREAM_ROLE: 'go-on-without',
  ERR_UPSTREAM_NAME: 'go-on-without',
  ERR_UPSTREAM_REFUSED_US: 'go-on-without',
  ERR_UPSTREAM_PROTOCOL: 'go-on-without',
  ERR_FEED_STALLED: 'go-on-without',
  ERR_FEED_ENDED: 'go-on-without',
  ERR_BEACON_LENGTH: 'go-on-without',
  ERR_KERNEL_WRITE: 'go-on-without',
  ERR_DRAND_FORMAT: 'go-on-without',
  ERR_DRAND_ROUND: 'go-on-without',
  ERR_DRAND_RANDOMNESS: 'go-on-without',
  ERR_DRAND_SIGNATURE: 'go-on-without',
  ERR_POLLEN_ANSWER: 'go-on-without',
  ERR_POLICY_STALE: 'go-on-without',
  ERR_TRUST: 'go-on-without',
  ERR_RENEWAL: 'go-on-without',
  ERR_CERTIFICATE_ANSWER: 'go-on-without',
  ERR_AUDIT_FILE: 'go-on-without',

  // the peer is at fault: this connection ends
  ERR_FEED_MAGIC: 'close-connection',
  ERR_FEED_SEQUENCE: 'close-connection',
  ERR_FEED_FRAME_LENGTH: 'close-connection',
  ERR_INTERVAL: 'close-connection',
  ERR_NONCE_LENGTH: 'close-connection',
  ERR_BODY_TOO_LARGE: 'close-connection',
  ERR_NO_CERTIFICATE: 'close-connection',
  ERR_CERTIFICATE_IDENTITY: 'close-connection',
  ERR_ROLE: 'close-connection',
  ERR_NOT_FOUND: 'close-connection',
  ERR_METHOD: 'close-connection',
  ERR_BAD_REQUEST: 'close-connection',
  ERR_TOO_MANY_CONNECTIONS: 'close-connection',
  ERR_EGD_PROTOCOL: 'close-connection',
  ERR_TRICKLE_PROTOCOL: 'close-connection',
  ERR_XENSTORE_PROTOCOL: 'close-connection',
  ERR_CHALLENGE: 'close-connection',
  ERR_CSR: 'close-connection',
  ERR_CSR_NAME: 'close-connection',
  ERR_ENROLL_PROOF: 'close-connection',
  ERR_LOGIN: 'close-connection',
  ERR_ORIGIN: 'close-connection',
  ERR_INTERNAL: 'close-connection',

  // a person has to act
  ERR_USAGE: 'fix-configuration',
  ERR_CONFIG: 'fix-configuration',
  ERR_CONFIG_FILE: 'fix-configuration',
  ERR_KEY_FILE: 'fix-configuration',
  ERR_CERTIFICATE_FILE: 'fix-configuration',
  ERR_CERTIFICATE_EXPIRED: 'fix-configuration',
  ERR_CA_EXISTS: 'fix-configuration',
  ERR_CA_FILE: 'fix-configuration',
  ERR_ROTATION: 'fix-configuration',
  ERR_REVOKED: 'fix-configuration',
  ERR_POLICY_FILE: 'fix-configuration',
  ERR_TOKEN_FILE: 'fix-configuration',
  ERR_TOKEN_FORMAT: 'fix-configuration',
  ERR_TOKEN_UNKNOWN: 'fix-configuration',
  ERR_TOKEN_EXPIRED: 'fix-configuration',
  ERR_TOKEN_SPENT: 'fix-configuration',
  ERR_TOKEN_REVOKED: 'fix-configuration',
  ERR_TOKEN_ROLE: 'fix-configuration',
  ERR_ENROLL_CA: 'fix-configuration',
  ERR_FILE_EXISTS: 'fix-configuration',
  ERR_OUTPUT_FILE: 'fix-configuration',
  ERR_PORT_IN_USE: 'fix-configuration',
  ERR_LISTEN: 'fix-configuration',
  ERR_SOCKET_IN_USE: 'fix-configuration',
  ERR_SOCKET_FOLDER: 'fix-configuration',
  ERR_PEER_CREDENTIALS: 'fix-configuration',
  ERR_STATE_DIRECTORY: 'fix-configuration',
  ERR_STATE_FILE: 'fix-configuration',
  ERR_SEED_EXISTS: 'fix-configuration',
  ERR_SEED_MODE: 'fix-configuration',
  ERR_SEED_COPIED: 'fix-configuration',
  ERR_SEAL: 'fix-configuration',
  ERR_FFMPEG_MISSING: 'fix-configuration',
  ERR_AGENT_ABSENT: 'fix-configuration',
  ERR_DEVICE: 'fix-configuration',
  ERR_CHILD_FAILED: 'fix-configuration',
  ERR_PROCESS_REFUSED: 'fix-configuration',
  ERR_MAILBOX_FOLDER: 'fix-configuration',
} as const satisfies Record<string, ErrorAction>;

/** A stable, machine-readable error code. */
export type ErrorCode = keyof typeof ERROR_ACTIONS;

/**
 * The base class of every operational error in Lamplighter.
 *
 * `message` is lower-case, without a full stop, and never holds secret bytes; `hint` is the next thing a person can do.
 */
export class LamplighterError extends Error {
  override readonly name = 'LamplighterError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** When whoever refused wants to be asked again, ms from now; undefined when he did not say. */
  readonly retryAfterMs: number | undefined;

  /**
   * @param code - stable code, see {@link ERROR_ACTIONS}
   * @param message - what happened, for a person
   * @param options - `hint`: the next action; `cause`: the error below this one; `retryAfterMs`: see above
   */
  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** What the caller must do. */
  get action(): ErrorAction {
    return ERROR_ACTIONS[this.code];
  }
}
