import type { Environment } from '../local/environment.js';
import type { GuestsStatus } from '../wire/status.js';
import { GuestNews } from './guest-news.js';
import { QmpFollower } from './qmp-follower.js';

export interface GuestsOptions {
  readonly environment: Environment;
  /** Where hooks tell; absolute, in a folder of its own. */
  readonly socket: string;
  readonly folderMode?: number;
  /** Monitors of QEMU that are followed, and whose they are. */
  readonly qmp?: readonly { readonly guest: string; readonly socket: string }[];
  /**
   * A guest was restored, cloned or stood still: it gets a burst from every outlet that has a line to it.
   * @returns on how many lines; undefined when this node is not seeded yet
   */
  readonly onResumed: (guest: string) => number | undefined;
}

/** How a VM host's node learns that a guest was restored: by hooks that tell it, and by following QEMU. */
export class Guests {
  readonly #socket: string;
  readonly #news: GuestNews;
  readonly #followers: readonly { readonly guest: string; readonly follower: QmpFollower }[];

  constructor({ qmp = [], ...options }: GuestsOptions) {
    const { environment, onResumed } = options;
    this.#socket = options.socket;
    this.#news = new GuestNews(options);
    this.#followers = qmp.map(({ guest, socket }) => {
      const onResume = (): void => void onResumed(guest);
      return { guest, follower: new QmpFollower({ environment, socket, onResume }) };
    });
  }

  /** @throws LamplighterError ERR_SOCKET_FOLDER, ERR_SOCKET_IN_USE, ERR_LISTEN; nothing is left behind then */
  async start(): Promise<void> {
    await this.#news.start();
    for (const { follower } of this.#followers) follower.start();
  }

  status(): GuestsStatus {
    const qmp = this.#followers.map(({ guest, follower }) => ({ guest, ...follower.status }));
    return { socket: this.#socket, ...this.#news.counts, qmp };
  }

  async stop(): Promise<void> {
    await Promise.all([this.#news.stop(), ...this.#followers.map(({ follower }) => follower.stop())]);
  }
}
