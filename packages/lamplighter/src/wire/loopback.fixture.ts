import { Duplex } from 'node:stream';
import { type TestAuthority, testAuthority } from '../identity/made-certificates.fixture.js';
import type { Role } from '../identity/roles.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import type { Upstream } from './client.js';
import { Listener, type ListenerOptions, type Route } from './listener.js';

/** A listener on loopback with a relay's certificate, and a way to be anybody that asks it. */
export interface Loopback {
  readonly listener: Listener;
  readonly port: number;
  /** @param role - who asks, with a certificate of its own name and the listener's CA */
  upstream(
    role: Role,
    options?: { name?: string; connect?: () => Duplex },
  ): Promise<Upstream & { readonly tls: TlsMaterial }>;
  stop(deadlineMs?: number): Promise<void>;
}

/**
 * @param options - `port`: 0 lets the system choose; `authority`: a new one unless told; `role`: the server's; the rest is
 *   the listener's
 */
export async function loopback(
  options: ListenerOptions & { port?: number; authority?: TestAuthority; role?: Role } = {},
): Promise<Loopback> {
  const { authority = await testAuthority(), role = 'relay', port: wanted = 0, ...rest } = options;
  const listener = new Listener(await authority.material({ role, name: 'upstream' }), rest);
  const { port } = await listener.listen({ host: '127.0.0.1', port: wanted });
  return {
    listener,
    port,
    async upstream(asking, { name = 'asking', connect } = {}) {
      return {
        url: new URL(`https://127.0.0.1:${port}`),
        tls: await authority.material({ role: asking, name }),
        roles: ['office', 'relay'],
        ...(connect && { connect }),
      };
    },
    stop: (deadlineMs = 1_000) => listener.stop(deadlineMs),
  };
}

/** Serves one path with whatever a hostile or broken upstream might answer. */
export function serveAnything(
  listener: Listener,
  method: Route['method'],
  path: string,
  handle: Route['handle'],
): { remove(): void } {
  const roles: Role[] = ['office', 'relay', 'service', 'machine', 'admin'];
  return listener.route({ method, path, roles, maxBodyBytes: 1_024, handle });
}

/** A connection in memory whose first end can be stopped from delivering, as a full socket buffer does. */
export function gatedPair(): { ends: [Duplex, Duplex]; shut: () => void } {
  let open = true;
  const end = (peer: () => Duplex, gated: boolean): Duplex =>
    new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _encoding, done) {
        // A write that the gate holds is never called back, like one into a pipe nobody empties.
        if (gated && !open) return;
        peer().push(chunk);
        done();
      },
      final(done) {
        peer().push(null);
        done();
      },
      destroy(error, done) {
        peer().destroy();
        done(error);
      },
    });
  const ends: [Duplex, Duplex] = [end(() => ends[1], true), end(() => ends[0], false)];
  return {
    ends,
    shut: () => {
      open = false;
    },
  };
}
