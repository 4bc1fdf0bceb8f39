import type { IncomingMessage, ServerResponse } from 'node:http';
import { LamplighterError, wipe } from '@lamplighter/core';
import { type CameraDoor, frameSenderOf, MAX_BROWSER_FRAME_BYTES } from '../../wire/camera-door.js';
import type { Environment } from '../../local/environment.js';
import { METRICS_CONTENT_TYPE, metricsText } from '../metrics.js';
import { type Answer, empty, json, send, text } from './answer.js';
import type { Assets } from './assets.js';
import { type BodyRule, parseObject } from './body.js';
import type { DrawBox } from './draw.js';
import type { EventStream } from './event-stream.js';
import { HistoryAnswers } from './history-answers.js';
import type { Login } from './login.js';
import type { AdminParts } from './parts.js';
import type { Sessions } from './sessions.js';
import type { Need, Visitor } from './visitor.js';

/** One request whose sender may have what he asks for. */
export interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  /** What the path names, for routes of a camera. */
  readonly name: string;
  readonly visitor: Visitor;
  readonly body: Buffer;
}

/** What one path does for one method. */
export interface AdminRoute {
  readonly need: Need;
  /** Of a POST; it is read only when its sender may. */
  readonly body?: BodyRule;
  /** A person who has not logged in is led to the login, instead of being told a code. */
  readonly isPage?: boolean;
  /** @returns the answer; undefined when it has been given, or is a stream */
  handle(visit: Visit): Answer | undefined | Promise<Answer | undefined>;
}

/** By method; HEAD is a GET without its body. */
export type AdminRoutes = Readonly<Partial<Record<'GET' | 'POST', AdminRoute>>>;

/** What the routes are made of. */
export interface RouteOptions {
  readonly parts: AdminParts;
  readonly environment: Pick<Environment, 'monotonicNs'>;
  readonly assets: Assets;
  readonly sessions: Sessions;
  readonly login: Login;
  readonly draw: DrawBox;
  readonly stream: EventStream;
  readonly isTls: boolean;
  readonly isLoopback: boolean;
  /** Whether previews of cameras are shown. */
  readonly preview: boolean;
}

const CAMERA_PATH = /^\/v1\/cameras\/([a-z0-9][a-z0-9.-]{0,62})\/(preview|noise|frames)$/;
const SHORT_JSON: BodyRule = { type: 'application/json', maxBytes: 1_024 };
const PICTURE: BodyRule = { type: 'image/jpeg', maxBytes: MAX_BROWSER_FRAME_BYTES };

/** Which routes a path has, and what it names. */
export type RouteTable = (
  path: string,
) => { readonly routes: AdminRoutes; readonly name: string } | undefined;

/** Everything the admin listener answers. */
export function adminRoutes(options: RouteOptions): RouteTable {
  const fixed = new Map<string, AdminRoutes>([...pages(options), ...truth(options), ...access(options)]);
  const cameras = new Map<string, AdminRoutes>(camera(options));
  return (path) => {
    const routes = fixed.get(path);
    if (routes !== undefined) return { routes, name: '' };
    const [, name = '', what = ''] = CAMERA_PATH.exec(path) ?? [];
    const ofCamera = cameras.get(what);
    return ofCamera && { routes: ofCamera, name };
  };
}

/** The login page and everything that is in the package anyway is for anyone. */
function pages({ assets }: RouteOptions): [string, AdminRoutes][] {
  return [...assets].map(([path, answer]) => {
    const isProtected = path === '/' || path === '/camera';
    const route: AdminRoute = {
      need: isProtected ? 'reader' : 'anyone',
      isPage: isProtected,
      handle: () => answer,
    };
    return [path, { GET: route }];
  });
}

function truth({ parts, stream, environment }: RouteOptions): [string, AdminRoutes][] {
  const history = new HistoryAnswers((span) => parts.history(span), environment);
  const readers = (handle: AdminRoute['handle']): AdminRoutes => ({ GET: { need: 'reader', handle } });
  return [
    ['/healthz', { GET: { need: 'anyone', handle: () => text(200, 'ok\n') } }],
    ['/readyz', { GET: { need: 'anyone', handle: () => readyz(parts) } }],
    [
      '/metrics',
      readers(async () => ({
        status: 200,
        headers: { 'content-type': METRICS_CONTENT_TYPE },
        body: Buffer.from(await metricsText(parts.status())),
      })),
    ],
    ['/v1/status', readers(() => json(200, parts.status()))],
    ['/v1/history', readers(({ query }) => history.answer(query.get('span')))],
    [
      '/v1/events',
      readers(({ request, response, visitor }) => {
        if (request.method === 'HEAD') return empty(200, { 'content-type': 'text/event-stream' });
        const last = request.headers['last-event-id'];
        stream.add(response, typeof last === 'string' ? last : undefined, () => visitor.isStillAllowed());
        return undefined;
      }),
    ],
  ];
}

function readyz(parts: AdminParts): Answer {
  const { state, reasons } = parts.status();
  const serving = state === 'ready' || state === 'degraded';
  return json(serving ? 200 : 503, { state, reasons });
}

function access(options: RouteOptions): [string, AdminRoutes][] {
  const { sessions, login, draw, isTls, isLoopback } = options;
  const session = ({ visitor }: Visit): Answer =>
    json(200, {
      loggedIn: visitor.session !== undefined,
      loopback: isLoopback,
      secure: isTls,
      ...(visitor.session && { csrf: visitor.session.csrf }),
    });
  return [
    ['/v1/session', { GET: { need: 'anyone', handle: session } }],
    [
      '/v1/login',
      {
        POST: {
          need: 'anyone',
          body: SHORT_JSON,
          handle: async ({ request, body }) => {
            const { token } = parseObject(body);
            return empty(204, { 'set-cookie': await login.login(token, request.socket.remoteAddress) });
          },
        },
      },
    ],
    [
      '/v1/logout',
      {
        POST: {
          need: 'session',
          body: SHORT_JSON,
          handle: ({ visitor }) => {
            if (visitor.session) sessions.close(visitor.session);
            return empty(204, { 'set-cookie': login.logout() });
          },
        },
      },
    ],
    [
      '/v1/draw',
      {
        POST: {
          need: 'session',
          body: SHORT_JSON,
          handle: ({ request, response, body }) => {
            checkCommitment(body);
            const answer = draw.draw();
            response.once('close', () => wipe(answer.body));
            send(request, response, answer);
            return undefined;
          },
        },
      },
    ],
  ];
}

/**
 * A page may say what it will mix in, as a hash, before it hears our half. It keeps that itself; here it only has to be one, so
 * that nothing else is ever sent.
 */
function checkCommitment(body: Buffer): void {
  const { commitment } = parseObject(body);
  if (commitment === undefined) return;
  if (typeof commitment !== 'string' || !/^[0-9a-f]{64}$/.test(commitment)) {
    throw new LamplighterError('ERR_BAD_REQUEST', 'a commitment is 64 hexadecimal digits');
  }
}

function camera({ parts, preview }: RouteOptions): [string, AdminRoutes][] {
  const picture = (made: (door: CameraDoor) => Promise<Uint8Array | undefined>): AdminRoutes => ({
    GET: {
      need: 'reader',
      handle: async ({ name }) => {
        const png = preview ? await made(doorOf(parts, name)) : undefined;
        // None now is no fault: a page that asks again and again is not told of one.
        if (png === undefined) return empty(204);
        return { status: 200, headers: { 'content-type': 'image/png' }, body: png };
      },
    },
  });
  const frames: AdminRoute = {
    need: 'writer',
    body: PICTURE,
    handle: ({ name, request, body }) => {
      const door = doorOf(parts, name);
      if (door.frame === undefined)
        throw new LamplighterError('ERR_NOT_FOUND', `${name} is no browser camera`);
      try {
        door.frame(body, frameSenderOf(request.headers));
      } finally {
        wipe(body);
      }
      return empty(204);
    },
  };
  return [
    ['preview', picture((door) => door.preview())],
    ['noise', picture((door) => door.noise())],
    ['frames', { POST: frames }],
  ];
}

function doorOf(parts: AdminParts, name: string): CameraDoor {
  const door = parts.camera(name);
  if (door === undefined) throw new LamplighterError('ERR_NOT_FOUND', `there is no camera ${name}`);
  return door;
}
