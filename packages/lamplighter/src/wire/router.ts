import type { IncomingMessage } from 'node:http';
import { LamplighterError } from '@lamplighter/core';
import type { PeerIdentity } from '../identity/roles.js';
import { type Route, pathOf } from './route.js';

/** The path of a route that takes what no other route has. */
const ANY_PATH = '*';

/** Which route a request belongs to, and whether its sender may have it. */
export class Router {
  readonly #knowsPeers: boolean;
  readonly #routes = new Map<string, Map<string, Route>>();

  /** @param knowsPeers - whether it is known who asks: routes name roles then, and `anyone` otherwise */
  constructor(knowsPeers: boolean) {
    this.#knowsPeers = knowsPeers;
  }

  /**
   * Serves a route from now on.
   * @returns the way to take it off again
   * @throws RangeError when method and path are taken, the path neither begins with a slash nor is `*`, or the roles are not
   *   those of such a listener; state unchanged
   */
  add(route: Route): { remove(): void } {
    if (!route.path.startsWith('/') && route.path !== ANY_PATH) {
      throw new RangeError('a path begins with a slash');
    }
    if ((route.roles === 'anyone') === this.#knowsPeers) {
      throw new RangeError(
        this.#knowsPeers ? 'a mutual listener serves nobody unknown' : 'nobody has a role here',
      );
    }
    const methods = this.#routes.get(route.path) ?? new Map<string, Route>();
    if (methods.has(route.method)) throw new RangeError(`${route.method} ${route.path} is taken`);
    methods.set(route.method, route);
    this.#routes.set(route.path, methods);
    return {
      remove: () => {
        if (methods.get(route.method) === route) methods.delete(route.method);
        if (methods.size === 0 && this.#routes.get(route.path) === methods) this.#routes.delete(route.path);
      },
    };
  }

  /**
   * The route of a request, once its sender may have it.
   * @param peer - who asks; undefined where nobody is known
   * @throws LamplighterError ERR_BAD_REQUEST, ERR_NOT_FOUND, ERR_METHOD, ERR_ROLE
   */
  routeFor(peer: PeerIdentity | undefined, request: IncomingMessage): Route {
    if (request.headers.host === undefined && request.httpVersion === '1.1') {
      throw new LamplighterError('ERR_BAD_REQUEST', 'a request needs a Host header');
    }
    const methods = this.#methodsAt(request);
    if (methods === undefined) throw new LamplighterError('ERR_NOT_FOUND', 'there is nothing at this path');
    const route = methods.get(request.method ?? '') ?? methods.get('ANY');
    if (route === undefined) {
      throw new LamplighterError('ERR_METHOD', `this path takes ${[...methods.keys()].join(', ')}`);
    }
    if (route.roles !== 'anyone' && (peer === undefined || !route.roles.includes(peer.role))) {
      throw new LamplighterError('ERR_ROLE', `role ${peer?.role ?? 'none'} may not ask for this`);
    }
    return route;
  }

  /** The methods a request's path takes: what 405 has to tell (RFC 9110, 15.5.6). */
  methodsFor(request: IncomingMessage): string[] {
    return [...(this.#methodsAt(request)?.keys() ?? [])];
  }

  #methodsAt(request: IncomingMessage): Map<string, Route> | undefined {
    return this.#routes.get(pathOf(request.url)) ?? this.#routes.get(ANY_PATH);
  }
}
