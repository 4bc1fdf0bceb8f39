import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { TlsMaterial } from '../identity/tls-files.js';

/** X25519 and ML-KEM-768 together: to break it both must be broken. */
const HYBRID_GROUP = 'X25519MLKEM768';

/**
 * What both ends of every connection use: TLS 1.3 only, the private CA alone, our certificate, and no session tickets,
 * because a resumed session skips the check of the certificate (DESIGN section 8). Where the runtime has a hybrid group, it is
 * preferred anyhow; `requireHybrid` offers nothing else.
 */
export function contextOptions(tls: TlsMaterial): SecureContextOptions {
  return {
    ca: tls.ca,
    cert: tls.cert,
    key: tls.key,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(tls.requireHybrid === true && { ecdhCurve: HYBRID_GROUP }),
  };
}
