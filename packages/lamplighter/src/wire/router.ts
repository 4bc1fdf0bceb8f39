import type { IncomingMessage } from 'node:http';
import { LamplighterError } from '@lamplighter/core';
import type { PeerIdentity } from '../identity/roles.js';
import type { Route } from './exchange.js';

/** Which route a request belongs to, and whether its sender may have it. */
export class Router {
  readonly #routes = new Map<string, Map<string, Route>>();

  /**
   * Serves a route from now on.
   * @returns the way to take it off again
   * @throws RangeError when method and path are taken, or the path does not begin with a slash; state unchanged
   */
  add(route: Route): { remove(): void } {
    if (!route.path.startsWith('/')) throw new RangeError('a path begins with a slash');
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
   * @throws LamplighterError ERR_BAD_REQUEST, ERR_NOT_FOUND, ERR_METHOD, ERR_ROLE
   */
  routeFor(peer: PeerIdentity, request: IncomingMessage): Route {
    if (request.headers.host === undefined && request.httpVersion === '1.1') {
      throw new LamplighterError('ERR_BAD_REQUEST', 'a request needs a Host header');
    }
    const methods = this.#routes.get(pathOf(request));
    if (methods === undefined) throw new LamplighterError('ERR_NOT_FOUND', 'there is nothing at this path');
    const route = methods.get(request.method ?? '');
    if (route === undefined) {
      throw new LamplighterError('ERR_METHOD', `this path takes ${[...methods.keys()].join(', ')}`);
    }
    if (!route.roles.includes(peer.role)) {
      throw new LamplighterError('ERR_ROLE', `role ${peer.role} may not ask for this`);
    }
    return route;
  }

  /** The methods a request's path takes: what 405 has to tell (RFC 9110, 15.5.6). */
  methodsFor(request: IncomingMessage): string[] {
    return [...(this.#routes.get(pathOf(request))?.keys() ?? [])];
  }
}

function pathOf(request: IncomingMessage): string {
  const url = request.url ?? '';
  const mark = url.indexOf('?');
  return mark < 0 ? url : url.slice(0, mark);
}
