import { LamplighterError } from '@lamplighter/core';

/** How far a request had come when it failed. */
export type UpstreamStage =
  /** No TLS connection yet. */
  | 'connect'
  /** The handshake is done on our side; the server may still refuse our certificate (RFC 8446, 4.4.2.4). */
  | 'answer'
  /** As `answer`, on a connection that has served a request before. */
  | 'reused'
  /** The answer's headers are here. */
  | 'body';

/** Alerts that say that our certificate, or its absence, is the reason (RFC 8446, section 6.2), as OpenSSL names them. */
const REFUSES_US = /ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)/;

const CLOSED = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
]);

const OUR_CERTIFICATE =
  "check that our certificate was issued by the upstream's CA and has not expired, and the upstream's log";

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name cannot be looked up now',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to the network',
  ETIMEDOUT: 'the host does not answer',
};

const CERTIFICATE_HINTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "renew the upstream's certificate, or check this machine's clock",
  CERT_NOT_YET_VALID: "check this machine's clock",
  INVALID_PURPOSE: 'the upstream must use an office or relay certificate',
};

/**
 * What an error of the network, TLS or HTTP means to whoever asked an upstream.
 * @param error - anything thrown on the way; a LamplighterError is returned as it is
 * @param where - host and port, for the text
 * @returns ERR_UPSTREAM_UNREACHABLE, ERR_UPSTREAM_REFUSED_US or ERR_UPSTREAM_PROTOCOL; the cause is kept
 */
export function upstreamError(error: unknown, where: string, stage: UpstreamStage): LamplighterError {
  if (error instanceof LamplighterError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  if (REFUSES_US.test(code)) {
    return new LamplighterError('ERR_UPSTREAM_REFUSED_US', `${where} refused our certificate (${code})`, {
      hint: OUR_CERTIFICATE,
      cause: error,
    });
  }
  if (code.startsWith('HPE_')) {
    return new LamplighterError(
      'ERR_UPSTREAM_PROTOCOL',
      `${where} does not speak HTTP/1.1 as we do (${code})`,
      {
        cause: error,
      },
    );
  }
  if (code.startsWith('ERR_SSL_')) {
    return new LamplighterError(
      'ERR_UPSTREAM_PROTOCOL',
      `${where} does not speak TLS 1.3 with us (${code})`,
      {
        hint: 'check the port, and that a lamplighter node listens there',
        cause: error,
      },
    );
  }
  if (CLOSED.has(code) && stage === 'answer') {
    // node:tls servers verify after the handshake and close without an alert. An upstream that died looks the same.
    return new LamplighterError(
      'ERR_UPSTREAM_REFUSED_US',
      `${where} closed the connection without an answer, as it does when it does not accept our certificate (${code})`,
      { hint: OUR_CERTIFICATE, cause: error },
    );
  }
  const why = CLOSED.has(code) ? 'the connection was lost' : UNREACHABLE[code];
  return new LamplighterError(
    'ERR_UPSTREAM_UNREACHABLE',
    `${where} cannot be reached: ${why === undefined ? code : `${why} (${code})`}`,
    { hint: 'check host, port and network, and whether the upstream runs', cause: error },
  );
}

/**
 * A server certificate that node's own verification refused.
 * @param code - OpenSSL's name for it: CERT_HAS_EXPIRED, UNABLE_TO_VERIFY_LEAF_SIGNATURE …
 */
export function certificateError(code: string, where: string, cause: unknown): LamplighterError {
  return new LamplighterError(
    'ERR_UPSTREAM_CERTIFICATE',
    `the certificate of ${where} is not accepted (${code})`,
    {
      hint:
        CERTIFICATE_HINTS[code] ?? "check that our ca.pem is the CA that issued the upstream's certificate",
      cause,
    },
  );
}
