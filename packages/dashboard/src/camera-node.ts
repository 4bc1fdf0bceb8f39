import type { CameraDetails } from '../../lamplighter/src/wire/camera-door.js';
import type { SourceStatus } from '../../lamplighter/src/wire/status.js';
import { isSession, statusIn } from './decoders.js';

/** What became of one picture that was posted. */
export type Posted =
  | { readonly outcome: 'taken' }
  /** Not now: again after so long, ms. */
  | { readonly outcome: 'later'; readonly words: string; readonly waitMs: number }
  /** Never in this session. */
  | { readonly outcome: 'over'; readonly words: string };

/** What the node says before anything is filmed. */
export type Welcome =
  | { readonly kind: 'unreachable' }
  | { readonly kind: 'no-session' }
  | { readonly kind: 'no-camera' }
  | { readonly kind: 'welcome'; readonly csrf: string; readonly cameras: readonly string[] };

/** Who films and for which camera of the node. */
export interface Filming {
  readonly camera: string;
  /** Of the session. */
  readonly csrf: string;
  /** The word by which the node tells this page from another. */
  readonly page: string;
  readonly isSimulated: boolean;
}

/** A picture that is not taken by then is given up, ms. */
const POST_LIMIT_MS = 10_000;
const STATUS_LIMIT_MS = 5_000;
const LEAST_WAIT_MS = 500;
const BUSY_WAIT_MS = 2_000;

/** Asks who we are to the node and which of its cameras a browser may film for. */
export async function askIn(): Promise<Welcome> {
  try {
    const answer = await fetch('/v1/session', { signal: AbortSignal.timeout(STATUS_LIMIT_MS) });
    const session: unknown = answer.ok ? await answer.json() : undefined;
    if (!isSession(session) || session.csrf === undefined) return { kind: 'no-session' };
    const cameras = (await browserCameras()).map(({ name }) => name);
    return cameras.length === 0 ? { kind: 'no-camera' } : { kind: 'welcome', csrf: session.csrf, cameras };
  } catch {
    return { kind: 'unreachable' };
  }
}

/** What the node thinks of its camera now; undefined when it does not say. */
export async function thoughtOf(camera: string): Promise<SourceStatus | undefined> {
  try {
    return (await browserCameras()).find(({ name }) => name === camera);
  } catch {
    return undefined;
  }
}

/** Posts one picture. Never rejects: what goes wrong is an outcome. */
export async function post(picture: Blob, filming: Filming): Promise<Posted> {
  const headers: Record<string, string> = {
    'content-type': 'image/jpeg',
    'x-lamplighter-csrf': filming.csrf,
    'x-lamplighter-page': filming.page,
    ...(filming.isSimulated && { 'lamplighter-basis': 'simulated' }),
  };
  try {
    const answer = await fetch(`/v1/cameras/${encodeURIComponent(filming.camera)}/frames`, {
      method: 'POST',
      headers,
      body: picture,
      signal: AbortSignal.timeout(POST_LIMIT_MS),
    });
    return await outcomeOf(answer);
  } catch {
    return { outcome: 'later', words: 'The node does not answer. Trying again.', waitMs: BUSY_WAIT_MS };
  }
}

async function outcomeOf(answer: Response): Promise<Posted> {
  if (answer.ok) return { outcome: 'taken' };
  const said = await detailOf(answer);
  switch (answer.status) {
    case 401:
    case 403:
      return {
        outcome: 'over',
        words: 'Your session has ended. Open a new login link, then come back here.',
      };
    case 404:
      return {
        outcome: 'over',
        words: 'The node has no such camera any more. Its configuration was changed.',
      };
    case 429:
    case 503:
      return { outcome: 'later', words: `The node takes no picture now: ${said}.`, waitMs: waitOf(answer) };
    default:
      return { outcome: 'later', words: `The node refused a picture: ${said}.`, waitMs: BUSY_WAIT_MS };
  }
}

function waitOf(answer: Response): number {
  const seconds = Number(answer.headers.get('retry-after') ?? NaN);
  return Number.isFinite(seconds) ? Math.max(LEAST_WAIT_MS, seconds * 1_000) : BUSY_WAIT_MS;
}

/** The words of a problem document (RFC 9457). */
async function detailOf(answer: Response): Promise<string> {
  try {
    const body: unknown = await answer.json();
    const detail = typeof body === 'object' && body !== null && 'detail' in body ? body.detail : undefined;
    return typeof detail === 'string' ? detail : `status ${answer.status}`;
  } catch {
    return `status ${answer.status}`;
  }
}

async function browserCameras(): Promise<readonly SourceStatus[]> {
  const answer = await fetch('/v1/status', {
    cache: 'no-store',
    signal: AbortSignal.timeout(STATUS_LIMIT_MS),
  });
  const status = answer.ok ? statusIn(await answer.text()) : undefined;
  const ofBrowsers: CameraDetails['input'] = 'browser';
  return (status?.sources ?? []).filter(
    ({ kind, details }) => kind === 'camera' && details['input'] === ofBrowsers,
  );
}
