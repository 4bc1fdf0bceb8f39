import type { IncomingMessage, ServerResponse } from 'node:http';
import { LamplighterError } from '@lamplighter/core';
import { pathOf, queryOf } from '../../wire/route.js';
import { type Answer, empty, problem, send } from './answer.js';
import { readBody } from './body.js';
import { checkOrigin, type OwnNames } from './request-checks.js';
import type { AdminRoute, RouteTable } from './routes.js';
import { visitorOf, type VisitorRules } from './visitor.js';

/** What every request is held to. */
export interface RequestRules {
  /** Called before each is looked at. */
  readonly before: () => void;
  readonly own: OwnNames;
  readonly visitors: VisitorRules;
  readonly routes: RouteTable;
  /** Hears what is no answer to whoever asked: a fault of our own. */
  readonly onError: (error: unknown) => void;
}

/**
 * Answers one request, or says what is wrong with it: where it comes from is looked at first, then what it wants, then who asks, and
 * only then is a body read.
 */
export async function answerRequest(
  request: IncomingMessage,
  response: ServerResponse,
  rules: RequestRules,
): Promise<void> {
  response.on('error', () => undefined);
  try {
    const answer = await answerOf(request, response, rules);
    if (answer !== undefined) send(request, response, answer);
  } catch (error) {
    const answer = problem(error);
    if (answer.status === 500) rules.onError(error);
    send(request, response, answer);
  }
}

async function answerOf(
  request: IncomingMessage,
  response: ServerResponse,
  { before, own, visitors, routes }: RequestRules,
): Promise<Answer | undefined> {
  before();
  // What was found may have cut this connection.
  if (request.socket.destroyed) return undefined;
  checkOrigin(request, own);
  const found = routes(pathOf(request.url));
  if (found === undefined) throw new LamplighterError('ERR_NOT_FOUND', 'there is nothing at this path');
  const route = methodOf(request, found.routes);
  if (route === undefined) {
    const allowed = Object.keys(found.routes).flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]));
    return problem(new LamplighterError('ERR_METHOD', `this path takes ${allowed.join(', ')}`), {
      allow: allowed.join(', '),
    });
  }
  let visitor;
  try {
    visitor = visitorOf(request, route.need, visitors);
  } catch (error) {
    if (route.isPage !== true || !isLogin(error)) throw error;
    return empty(303, { location: '/login' });
  }
  const body = route.body === undefined ? Buffer.alloc(0) : await readBody(request, response, route.body);
  return route.handle({ request, response, query: queryOf(request.url), name: found.name, visitor, body });
}

function methodOf(
  { method }: IncomingMessage,
  routes: Partial<Record<string, AdminRoute>>,
): AdminRoute | undefined {
  const name = method === 'HEAD' ? 'GET' : method;
  return name === 'GET' || name === 'POST' ? routes[name] : undefined;
}

const isLogin = (error: unknown): boolean =>
  error instanceof LamplighterError && (error.code === 'ERR_LOGIN' || error.code === 'ERR_ROLE');
