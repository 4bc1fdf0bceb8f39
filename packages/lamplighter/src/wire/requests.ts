import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Connection } from './connection.js';
import { HttpExchange } from './exchange.js';
import { problemOf, rawProblem } from './problem.js';
import type { Refusals } from './refusals.js';
import { RequestLine, type RequestLineLimits } from './request-line.js';
import type { Route } from './route.js';
import type { Router } from './router.js';

/** Requests a client may send ahead of the answers. Ours send none. */
const MAX_PIPELINED = 8;

/** What a listener's owner hears of its requests. */
export interface RequestHooks {
  /** Hears what a route threw that is no answer to the peer: a fault of our own. */
  readonly onError: (error: unknown, route: Route | undefined) => void;
  /** Called before every request is looked at; it may cut the connection. */
  readonly before: () => void;
}

/** Answers every request on a listener's connections: by its route, or with what is wrong with it. */
export class Requests {
  readonly #connections: ReadonlyMap<Duplex, Connection>;
  readonly #router: Router;
  readonly #refusals: Refusals;
  readonly #hooks: RequestHooks;
  readonly #line: RequestLine;

  /**
   * @param connections - those whose handshake is done, by their socket
   */
  constructor(
    connections: ReadonlyMap<Duplex, Connection>,
    router: Router,
    refusals: Refusals,
    hooks: RequestHooks,
    limits: RequestLineLimits,
  ) {
    this.#connections = connections;
    this.#router = router;
    this.#refusals = refusals;
    this.#hooks = hooks;
    this.#line = new RequestLine(limits);
  }

  /** Serves what a server's connections ask. */
  serve(server: Server): void {
    server.on('clientError', (error, socket) => this.#notHttp(error, socket));
    server.on('request', (request, response) => void this.#serve(request, response, false));
    server.on('checkContinue', (request, response) => void this.#serve(request, response, false));
    server.on('checkExpectation', (request, response) => void this.#serve(request, response, true));
  }

  async #serve(request: IncomingMessage, response: ServerResponse, oddExpectation: boolean): Promise<void> {
    this.#hooks.before();
    const connection = this.#connections.get(request.socket);
    // The parser hands over what it had read before the connection was destroyed.
    if (connection === undefined || request.socket.destroyed) return;
    if (connection.exchanges.size >= MAX_PIPELINED) {
      this.#refusals.add('pipelined');
      connection.destroy(new LamplighterError('ERR_STOPPED', 'too many requests ahead of their answers'));
      return;
    }
    const exchange = new HttpExchange(request, response, connection);
    connection.began(exchange);
    response.on('close', () => connection.finished(exchange));
    const fail = (error: unknown, route?: Route): void =>
      this.#fail(error, connection, exchange, request, route);
    try {
      if (connection.refusal !== undefined) throw connection.refusal;
      if (oddExpectation) throw new LamplighterError('ERR_BAD_REQUEST', 'only 100-continue can be expected');
      const { identity } = connection;
      connection.admit();
      const route = this.#router.routeFor(identity, request);
      await exchange.readBody(route.maxBodyBytes);
      let hasWaited = false;
      const answer = (): Promise<void> => this.#answer(exchange, route, hasWaited);
      // Not before: an answer given before the body is read costs the connection, and a new one costs more than an answer.
      this.#line.take(connection.group, {
        answer: () => void answer().catch((error: unknown) => fail(error, route)),
        refuse: fail,
      });
      hasWaited = true;
    } catch (error) {
      fail(error);
    }
  }

  async #answer(exchange: HttpExchange, route: Route, hasWaited: boolean): Promise<void> {
    if (hasWaited) {
      this.#hooks.before();
      if (exchange.answered) return;
    }
    await route.handle(exchange);
    if (!exchange.answered) throw new Error(`${route.method} ${route.path} gave no answer`);
  }

  #fail(
    error: unknown,
    connection: Connection,
    exchange: HttpExchange,
    request: IncomingMessage,
    route: Route | undefined,
  ): void {
    const headers: Record<string, string> = {};
    if (error instanceof LamplighterError && error.code === 'ERR_METHOD') {
      headers['allow'] = this.#router.methodsFor(request).join(', ');
    }
    if (this.#refusals.addAnswer(error) || connection.refusal !== undefined) connection.retired = true;
    exchange.fail(error, headers);
    if (problemOf(error).status === 500) this.#hooks.onError(error, route);
  }

  /** What node's HTTP parser could not read, and every error of a socket. */
  #notHttp(error: Error, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    if (connection === undefined || !code.startsWith('HPE_')) {
      socket.destroy();
      return;
    }
    this.#refusals.add('badRequest');
    if (connection.exchanges.size === 0 && socket.writable) {
      const text = code === 'HPE_HEADER_OVERFLOW' ? 'the headers are too long' : 'this is not HTTP/1.1';
      socket.write(rawProblem(new LamplighterError('ERR_BAD_REQUEST', text)));
    }
    connection.socket.destroySoon();
  }
}
