import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';

/** X25519 and ML-KEM-768 together: to break it both must be broken. */
const HYBRID_GROUP = 'X25519MLKEM768';

/** What one end of a connection holds, as far as it holds it. */
export interface ContextMaterial {
  /** Whom it trusts, PEM; absent: nobody, also none of the roots that came with node. */
  readonly ca?: Buffer;
  /** Its own certificate, PEM, the leaf first; what follows is sent along. */
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly requireHybrid?: boolean;
}

/**
 * What both ends of every connection use: TLS 1.3 only, the private CA alone, our certificate, and no session tickets,
 * because a resumed session skips the check of the certificate (DESIGN section 8). Where the runtime has a hybrid group, it is
 * preferred anyhow; `requireHybrid` offers nothing else.
 */
export function contextOptions({
  ca,
  cert,
  key,
  requireHybrid = false,
}: ContextMaterial): SecureContextOptions {
  return {
    ca: ca ?? [],
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(requireHybrid && { ecdhCurve: HYBRID_GROUP }),
  };
}
