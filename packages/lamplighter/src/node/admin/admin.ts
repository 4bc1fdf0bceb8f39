import type http from 'node:http';
import https from 'node:https';
import type { PeerIdentity, Role } from '../../identity/roles.js';
import type { TlsMaterial } from '../../identity/tls-files.js';
import type { Environment } from '../../local/environment.js';
import { cutDuplex } from '../../wire/cut.js';
import { reasonOf } from '../../wire/reason.js';
import type { Log } from '../log.js';
import { loadAssets } from './assets.js';
import { type AdminCertificate, loadAdminMaterial } from './certificate.js';
import { DrawBox } from './draw.js';
import { EventStream, type StreamCounts } from './event-stream.js';
import { LoginLinks } from './login-links.js';
import { Login } from './login.js';
import type { AdminParts } from './parts.js';
import { OwnHost } from './own-host.js';
import { isLoopback } from '../../wire/network.js';
import { answerRequest } from './requests.js';
import { adminRoutes } from './routes.js';
import { close, contextOf, guardConnections, listen, newServer } from './server.js';
import { Sessions } from './sessions.js';

/** What an admin listener is made with. */
export interface AdminOptions extends AdminCertificate {
  /** 0 takes a free one. */
  readonly port: number;
  /** Whose certificates open it, over TLS. */
  readonly roles: readonly Role[];
  /** Whether previews of cameras are shown. */
  readonly preview: boolean;
  /** The node's state folder, where login links wait. */
  readonly state: string;
  /** The node's own certificate, when it has one. */
  readonly own: TlsMaterial | undefined;
  readonly environment: Pick<Environment, 'monotonicNs' | 'realtimeNs' | 'timers' | 'fs'>;
  readonly log: Log;
  /** Asked about every certificate that is used. @throws LamplighterError ERR_REVOKED */
  readonly admit?: (peer: PeerIdentity) => void;
  /** Called before every request is looked at; it may cut connections. */
  readonly before?: () => void;
  /** Where the built pages lie, unless it is in this package. */
  readonly pages?: string;
}

/** An admin listener that listens. */
export interface AdminServer {
  /** Where a browser finds it. */
  readonly url: string;
  /** How many watch. */
  readonly counts: StreamCounts;
  /**
   * Reads its certificate anew, or takes the node's.
   * @param own - the node's
   * @throws LamplighterError as at the start; the old one stays in use then
   */
  reloadTls(own: TlsMaterial | undefined): Promise<void>;
  /** Destroys every TLS connection without another byte (DESIGN 6.4, step 1). @returns how many there were */
  cut(): number;
  /** Ends every stream and connection at once. Idempotent. */
  stop(): Promise<void>;
}

/**
 * The admin listener: health, readiness, metrics, status and the dashboard. On loopback it is plain HTTP and everybody on this machine
 * may read; elsewhere it is TLS 1.3, and whoever reads needs a certificate of a listed role or has come with a login link. Only the draw
 * box says anything secret.
 *
 * @throws LamplighterError ERR_CONFIG when others may reach it and it has no certificate; ERR_CERTIFICATE_FILE, ERR_KEY_FILE,
 *   ERR_PORT_IN_USE, ERR_LISTEN, ERR_STATE_FILE
 */
export async function startAdmin(options: AdminOptions, parts: AdminParts): Promise<AdminServer> {
  const { environment, host, log, admit = () => {}, before = () => {} } = options;
  const onError = (error: unknown): void => log.error({ reason: reasonOf(error) }, 'an admin request failed');
  const material = await loadAdminMaterial(options, options.own, environment);
  const assets = await loadAssets(options.pages);
  const isTls = material !== undefined;
  const names = new OwnHost(host, material);
  const server = newServer(material);
  const raw = guardConnections(server);
  const port = await listen(server, options);

  const links = new LoginLinks(options.state);
  const sessions = new Sessions(environment);
  const cookie = `${isTls ? '__Host-' : ''}lamplighter-${port}`;
  const login = new Login({ links, sessions, environment, events: parts.events, log, cookie, isTls });
  const stream = new EventStream(parts, { timers: environment.timers, onError });
  const draw = new DrawBox((lengthBytes) => parts.draw(lengthBytes), environment);
  const routes = adminRoutes({
    parts,
    environment,
    assets,
    sessions,
    login,
    draw,
    stream,
    isTls,
    isLoopback: isLoopback(host),
    preview: options.preview,
  });
  const visitors = { isTls, roles: options.roles, sessions, cookie, admit };
  const rules = { before, own: names, visitors, routes, onError };
  const answer = (request: http.IncomingMessage, response: http.ServerResponse): void =>
    void answerRequest(request, response, rules);
  server.on('request', answer);
  server.on('checkContinue', answer);

  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stream.stop();
    await links.withdraw();
    await close(server, raw);
  };
  const url = `${names.scheme}://${names.forUrl()}:${port}`;
  try {
    await links.announce(url);
  } catch (error) {
    await close(server, raw);
    throw error;
  }
  return {
    url,
    get counts() {
      return stream.counts;
    },
    async reloadTls(own) {
      const fresh = await loadAdminMaterial(options, own, environment);
      if (!(server instanceof https.Server) || fresh === undefined) return;
      server.setSecureContext(contextOf(fresh));
      // Who came by a CA that is trusted no more has to come again; where nothing changed this costs a browser one reconnect.
      if (names.replace(fresh)) for (const socket of raw) socket.destroy();
    },
    cut() {
      if (!isTls) return 0;
      const open = [...raw];
      for (const socket of open) cutDuplex(socket);
      return open.length;
    },
    stop: () => (stopped ??= stop()),
  };
}
