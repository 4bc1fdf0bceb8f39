import type { NodeEvent } from '../../lamplighter/src/wire/event.js';
import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import { eventIn, isSession, type Session, statusIn } from './decoders.js';

/**
 * - `connecting`: nothing heard yet.
 * - `live`: a status every second.
 * - `lost`: there was one, and it is tried again.
 * - `stopped`: the node said that it stops, and then was gone. It is tried again too.
 * - `strange`: what answers is not a node of this version.
 */
export type Link = 'connecting' | 'live' | 'lost' | 'stopped' | 'strange';

/** All the page knows, at one moment. */
export interface View {
  readonly link: Link;
  /** When the link became what it is, and when it is tried again, ms of this browser's clock. */
  readonly sinceMs: number;
  readonly retryAtMs?: number;
  /** The last seconds, newest last; kept when the link is lost, so that the page can say what was. */
  readonly recent: readonly NodeStatus[];
  readonly events: readonly NodeEvent[];
  readonly session?: Session;
}

/** Rates are taken over so many seconds. */
const RECENT = 4;
const MAX_EVENTS = 500;
/** A status comes every second; so long without one is a lost connection, whatever the socket says. */
const SILENT_MS = 5_000;
const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 10_000;

/** Follows the node's event stream, and comes back by itself. */
export class Live {
  readonly #onView: (view: View) => void;
  #view: View = { link: 'connecting', sinceMs: Date.now(), recent: [], events: [] };
  #stream: EventSource | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #retryMs = MIN_RETRY_MS;

  /** @param onView - told of every change */
  constructor(onView: (view: View) => void) {
    this.#onView = onView;
  }

  start(): void {
    void this.#open();
  }

  stop(): void {
    this.#close();
    clearTimeout(this.#retry);
  }

  /** Tries again now. */
  retry(): void {
    clearTimeout(this.#retry);
    this.#close();
    void this.#open();
  }

  async #open(): Promise<void> {
    const session = await sessionNow();
    if (session === undefined) return this.#lost();
    this.#show({ session });
    const stream = new EventSource('/v1/events');
    this.#stream = stream;
    this.#listenForSilence();
    stream.addEventListener('status', ({ data }: MessageEvent<string>) => this.#hear(data));
    stream.addEventListener('event', ({ data }: MessageEvent<string>) => this.#note(data));
    stream.addEventListener('error', () => {
      // The browser has given up: the node refused, and did not merely go away.
      if (stream.readyState === EventSource.CLOSED) void askForLogin();
      this.#lost();
    });
  }

  #hear(data: string): void {
    const status = statusIn(data);
    if (status === undefined) return this.#turn('strange');
    this.#listenForSilence();
    this.#retryMs = MIN_RETRY_MS;
    const { recent } = this.#view;
    const last = recent.at(-1);
    // Another process, or the same one started anew: nothing of before compares with it.
    const isNext = last !== undefined && last.pid === status.pid && last.uptimeMs <= status.uptimeMs;
    const view = { recent: isNext ? [...recent.slice(1 - RECENT), status] : [status] };
    this.#turn('live', view);
  }

  #note(data: string): void {
    const event = eventIn(data);
    if (event === undefined) return;
    const { events } = this.#view;
    // A node that was started anew counts from 1 again, and a replay may repeat.
    const kept =
      event.id <= (events.at(-1)?.id ?? 0) && !events.some(({ id }) => id === event.id) ? [] : events;
    if (kept.some(({ id }) => id === event.id)) return;
    this.#show({ events: [...kept.slice(1 - MAX_EVENTS), event] });
  }

  #listenForSilence(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lost(), SILENT_MS);
  }

  #lost(): void {
    this.#close();
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#open(), this.#retryMs);
    const retryAtMs = Date.now() + this.#retryMs;
    this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 2);
    const { recent, link } = this.#view;
    const stopped = link === 'stopped' || recent.at(-1)?.state === 'stopping';
    this.#turn(stopped ? 'stopped' : 'lost', { retryAtMs });
  }

  #close(): void {
    clearTimeout(this.#silence);
    this.#stream?.close();
    this.#stream = undefined;
  }

  #turn(link: Link, more: Partial<View> = {}): void {
    const sinceMs = link === this.#view.link ? this.#view.sinceMs : Date.now();
    this.#show({ ...more, link, sinceMs });
  }

  #show(more: Partial<View>): void {
    this.#view = { ...this.#view, ...more };
    this.#onView(this.#view);
  }
}

/** @returns undefined when nobody answers */
async function sessionNow(): Promise<Session | undefined> {
  try {
    const response = await fetch('/v1/session', { signal: AbortSignal.timeout(SILENT_MS) });
    const value: unknown = await response.json();
    return isSession(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Goes to the login page if this node answers only to those who are logged in. */
async function askForLogin(): Promise<void> {
  try {
    const { status } = await fetch('/v1/status', { signal: AbortSignal.timeout(SILENT_MS) });
    if (status === 401) location.replace('/login');
  } catch {
    // It does not answer; that is told, and it is tried again.
  }
}
