import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Connection } from './connection.js';
import { HttpExchange } from './exchange.js';
import { problemOf, rawProblem } from './problem.js';
import type { Refusals } from './refusals.js';
import { RequestLine, type RequestLineLimits, type RequestTurn } from './request-line.js';
import type { Route } from './route.js';
import type { Router } from './router.js';

/** Requests a client may send ahead of the answers. Ours send none. */
const MAX_PIPELINED = 8;
/**
 * Whoever was told to come back later is not read for this part of that time, 0.4 to 2 s, or until there is nothing else to do. To
 * refuse costs as much as to answer, and of a crowd that asked again at once a relay served 2 %.
 */
const REST = 0.4;
/** So many are read again after a turn that leaves the line short. */
const WAKE = 4;

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
  /** Those that are not read for a while, in the order in which they will be again. */
  readonly #resting = new Set<Connection>();

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
    this.#line = new RequestLine(limits, () => this.#wakeSome());
  }

  /** Requests that wait for their answer. */
  get queued(): number {
    return this.#line.size;
  }

  /** Serves what a server's connections ask. */
  serve(server: Server): void {
    server.on('clientError', (error, socket) => this.#notHttp(error, socket));
    server.on('request', (request, response) => this.#serve(request, response, false));
    server.on('checkContinue', (request, response) => this.#serve(request, response, false));
    server.on('checkExpectation', (request, response) => this.#serve(request, response, true));
  }

  #serve(request: IncomingMessage, response: ServerResponse, oddExpectation: boolean): void {
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
    const asked: Asked = { request, connection, exchange };
    try {
      if (connection.refusal !== undefined) throw connection.refusal;
      if (oddExpectation) throw new LamplighterError('ERR_BAD_REQUEST', 'only 100-continue can be expected');
      const { identity } = connection;
      connection.admit();
      const route = this.#router.routeFor(identity, request);
      // Its turn comes after its body: an answer given before costs the connection, and a new one costs more than an answer.
      const turn = new Turn(this, asked, route);
      if (exchange.expectsBody(route.maxBodyBytes)) process.nextTick(takeOrReadBody, turn);
      else this.await(turn);
    } catch (error) {
      this.fail(asked, error);
    }
  }

  /** A request is here with its body: it is answered now, or waits for its turn. */
  await(turn: Turn): void {
    this.#line.take(turn.asked.connection.group, turn);
    turn.hasWaited = true;
  }

  answer({ asked, route, hasWaited }: Turn): void {
    const { exchange } = asked;
    try {
      if (hasWaited) {
        this.#hooks.before();
        if (exchange.answered) return;
      }
      const answering = route.handle(exchange);
      if (answering === undefined) assertAnswered(exchange, route);
      else {
        answering
          .then(() => assertAnswered(exchange, route))
          .catch((error: unknown) => this.fail(asked, error, route));
      }
    } catch (error) {
      this.fail(asked, error, route);
    }
  }

  fail({ request, connection, exchange }: Asked, error: unknown, route?: Route): void {
    const headers: Record<string, string> = {};
    if (error instanceof LamplighterError && error.code === 'ERR_METHOD') {
      headers['allow'] = this.#router.methodsFor(request).join(', ');
    }
    if (this.#refusals.addAnswer(error) || connection.refusal !== undefined) connection.retired = true;
    exchange.fail(error, headers);
    if (problemOf(error).status === 500) this.#hooks.onError(error, route);
  }

  /** Does not read a connection for a while. */
  rest(connection: Connection, forMs: number): void {
    if (connection.rest(forMs, () => this.#resting.delete(connection))) this.#resting.add(connection);
  }

  /** @returns whether some rest on */
  #wakeSome(): boolean {
    let woken = 0;
    for (const connection of this.#resting) {
      if (woken === WAKE) return true;
      connection.wake();
      woken += 1;
    }
    return false;
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

/** One request on its connection. */
interface Asked {
  readonly request: IncomingMessage;
  readonly connection: Connection;
  readonly exchange: HttpExchange;
}

/** One request that has found its route. */
class Turn implements RequestTurn {
  readonly requests: Requests;
  readonly asked: Asked;
  readonly route: Route;
  hasWaited = false;

  constructor(requests: Requests, asked: Asked, route: Route) {
    this.requests = requests;
    this.asked = asked;
    this.route = route;
  }

  answer(): void {
    this.requests.answer(this);
  }

  refuse(error: LamplighterError): void {
    this.requests.fail(this.asked, error, this.route);
    this.requests.rest(this.asked.connection, REST * (error.retryAfterMs ?? 0));
  }
}

/** One tick after the headers: by then node has handed over what came with them. */
function takeOrReadBody(turn: Turn): void {
  const { requests, asked, route } = turn;
  const { exchange } = asked;
  // Cut meanwhile.
  if (exchange.answered) return;
  if (exchange.takeBody()) requests.await(turn);
  else {
    exchange.readBody(route.maxBodyBytes).then(
      () => requests.await(turn),
      (error: unknown) => requests.fail(asked, error),
    );
  }
}

function assertAnswered(exchange: HttpExchange, { method, path }: Route): void {
  if (!exchange.answered) throw new Error(`${method} ${path} gave no answer`);
}
