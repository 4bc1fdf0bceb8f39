import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import type { Stream } from '../../local/stream.js';
import { checkRange } from '../../local/range.js';
import { parseEgdAddress } from '../../wire/egd-address.js';
import { reasonOf } from '../../wire/reason.js';
import type { OutletReport, Reason } from '../../wire/status.js';
import { Seeded } from '../egd/seeded.js';
import type { Outlet, OutletContext } from '../outlet.js';
import type { TrickleCounts } from './conversation.js';
import { GuestLine, type GuestLineServices } from './guest-line.js';
import { guestNameOf, isGuest, lookForGuests } from './guest-sockets.js';

/** Bounds of a trickle outlet; each may be configured. */
export const TRICKLE_LIMITS = {
  /** For one guest, beside its bursts. What xentropyd gives. */
  bytesPerMinute: 1_024,
  /** After a hello, and at a resume. */
  burstBytes: 1_024,
  /** Sockets of one outlet. */
  maxGuests: 256,
} as const;

/** How often a folder is looked through for newcomers: a guest's boot takes longer. */
const LOOK_EVERY_MS = 1_000;
/** A guest that has not said hello after so long does not want any, or has nobody who asks. */
const SILENT_AFTER_MS = 60_000;
const MAX_FAULT_LENGTH = 300;

/** How a trickle outlet is configured. */
export interface TrickleOutletOptions {
  readonly name: string;
  readonly environment: Environment;
  /** `connect`: QEMU's chardev is the server; `listen`: it is the client. */
  readonly role: 'connect' | 'listen';
  /** Absolute paths of unix sockets, one a guest. */
  readonly sockets?: readonly string[] | undefined;
  /** For `connect`: a folder watched for guests' sockets, see {@link lookForGuests}. */
  readonly folder?: string | undefined;
  /** For `listen`: of a socket's folder, if it has to be made: 0o700 unless told, or 0o750. */
  readonly folderMode?: number | undefined;
  readonly bytesPerMinute?: number | undefined;
  readonly burstBytes?: number | undefined;
  readonly maxGuests?: number | undefined;
}

/** What a trickle outlet does besides what every outlet does. */
export interface TrickleOutlet extends Outlet {
  /**
   * Bursts, now: without a name because this host was resumed, to every guest that has said hello; with one because that guest
   * was, whether or not it has. Does nothing before the node is seeded or when there is no such guest.
   * @returns on how many lines
   */
  resume(guest?: string): number;
}

/**
 * A very small trickle of entropy for guests, over a virtio-serial port of each: a burst when the guest asks, another at a
 * resume, and a few bytes a minute for ever.
 *
 * Source: DESIGN section 8. Each connection has a stream of its own. It opens before the node is seeded; a guest that says
 * hello earlier waits. Over its own line a guest hears and disturbs nobody else.
 * @throws LamplighterError ERR_CONFIG for paths that are none, for none at all, for a folder to listen in
 * @throws RangeError for a number out of its range
 */
export function trickleOutlet(options: TrickleOutletOptions): TrickleOutlet {
  return new Trickle(options);
}

class Trickle implements TrickleOutlet {
  readonly name: string;
  readonly kind = 'trickle';
  readonly #options: TrickleOutletOptions;
  readonly #environment: Environment;
  readonly #bytesPerMinute: number;
  readonly #burstBytes: number;
  readonly #maxGuests: number;
  readonly #stopping = new AbortController();
  readonly #lines = new Map<string, GuestLine>();
  readonly #leaving = new Set<Promise<void>>();
  readonly #counts: TrickleCounts = {
    bytes: 0,
    hellos: 0,
    bursts: 0,
    burstsRefused: 0,
    protocolErrors: 0,
    failures: 0,
  };
  #context: OutletContext | undefined;
  #seeded: Seeded | undefined;
  /** For the next guest: it is keyed at its first read, not now. */
  #spare: Stream | undefined;
  #streams = 0;
  #looking: Promise<void> | undefined;
  #more = false;
  #folderFault: Reason | undefined;
  #lastFault = '';
  #stopped: Promise<void> | undefined;

  constructor(options: TrickleOutletOptions) {
    this.name = options.name;
    this.#options = options;
    this.#environment = options.environment;
    this.#bytesPerMinute = options.bytesPerMinute ?? TRICKLE_LIMITS.bytesPerMinute;
    this.#burstBytes = options.burstBytes ?? TRICKLE_LIMITS.burstBytes;
    this.#maxGuests = options.maxGuests ?? TRICKLE_LIMITS.maxGuests;
    checkRange('bytesPerMinute', this.#bytesPerMinute, 1, 1_048_576);
    checkRange('burstBytes', this.#burstBytes, 16, 65_536);
    checkRange('maxGuests', this.#maxGuests, 1, 4_096);
    checkPlaces(options, this.#maxGuests);
  }

  async start(context: OutletContext, signal: AbortSignal): Promise<void> {
    this.#context = context;
    this.#seeded = new Seeded(context.ready());
    this.#spare = context.stream('guest-1');
    signal.addEventListener('abort', () => void this.stop(0), { once: true, signal: this.#stopping.signal });
    if (signal.aborted) return this.stop(0);
    const { role, sockets = [], folder, folderMode = 0o700 } = this.#options;
    try {
      // One after the other: they may share a folder that has to be made.
      for (const socket of sockets) {
        const line = this.#newLine(guestNameOf(socket), socket);
        if (role === 'listen') await line.listen(folderMode);
        else line.connect();
      }
    } catch (error) {
      await this.stop(0);
      throw error;
    }
    if (folder !== undefined) this.#looking = this.#keepLooking(folder);
  }

  resume(guest?: string): number {
    if (this.#seeded?.now !== true) return 0;
    const talks = [...this.#lines.values()]
      .filter((line) => guest === undefined || isGuest(line.guest, guest))
      .flatMap(({ conversation }) => conversation ?? []);
    return talks.filter((conversation) => conversation.burst(guest !== undefined)).length;
  }

  status(): OutletReport {
    const { bytes, ...counts } = this.#counts;
    const lines = [...this.#lines.values()];
    const talks = lines.flatMap(({ conversation }) => conversation ?? []);
    const waiting = talks.filter(({ greeted }) => !greeted);
    return {
      state: this.#state(),
      ...(this.#folderFault !== undefined && this.#stopped === undefined && { reason: this.#folderFault }),
      bytes,
      details: {
        role: this.#options.role,
        ...(this.#options.folder !== undefined && { folder: this.#options.folder }),
        guests: lines.length,
        maxGuests: this.#maxGuests,
        tooManyGuests: this.#more,
        connected: talks.length,
        greeted: talks.length - waiting.length,
        silent: waiting.filter(({ ageMs }) => ageMs > SILENT_AFTER_MS).length,
        refusedConnections: lines.reduce((sum, { refused }) => sum + refused, 0),
        ...counts,
        lastFault: this.#lastFault,
        creditBits: 0,
      },
    };
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop();
    // Nothing is owed: the line has no requests, and what was made the kernel has.
    void deadlineMs;
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    this.#seeded?.fail(new LamplighterError('ERR_STOPPED', 'the outlet is stopped'));
    await this.#looking;
    await Promise.all([...[...this.#lines.values()].map((line) => line.stop()), ...this.#leaving]);
    this.#spare?.close();
  }

  async #keepLooking(folder: string): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const { guests, more } = await lookForGuests(folder, this.#maxGuests, this.#environment.fs);
        this.#folderFault = undefined;
        this.#more = more;
        if (!signal.aborted) this.#follow(guests);
      } catch (error) {
        this.#folderFault = reasonOf(error);
      }
      await this.#environment.timers.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
    }
  }

  /** Connects to newcomers, lets go of those whose socket is gone. */
  #follow(guests: ReadonlyMap<string, string>): void {
    for (const [guest, line] of this.#lines) {
      if (guests.has(guest) || !this.#isWatched(guest)) continue;
      this.#lines.delete(guest);
      const left = line.stop().finally(() => this.#leaving.delete(left));
      this.#leaving.add(left);
    }
    for (const [guest, socket] of guests) {
      if (!this.#lines.has(guest) && this.#lines.size < this.#maxGuests)
        this.#newLine(guest, socket).connect();
    }
  }

  /** Found in the folder, not named in the configuration. */
  #isWatched(guest: string): boolean {
    return this.#options.sockets?.some((socket) => guestNameOf(socket) === guest) !== true;
  }

  #newLine(guest: string, socket: string): GuestLine {
    const line = new GuestLine(guest, socket, this.#services());
    this.#lines.set(guest, line);
    return line;
  }

  #services(): GuestLineServices {
    const seeded = this.#seeded;
    if (seeded === undefined) throw new TypeError('a guest before start');
    return {
      environment: this.#environment,
      seeded,
      counts: this.#counts,
      bytesPerMinute: this.#bytesPerMinute,
      burstBytes: this.#burstBytes,
      newStream: () => this.#newStream(),
      onFault: (guest, error) => {
        const { code, message } = reasonOf(error);
        this.#lastFault = `${guest}: ${code}: ${message}`.slice(0, MAX_FAULT_LENGTH);
      },
    };
  }

  #newStream(): Stream {
    const { context, spare } = { context: this.#context, spare: this.#spare };
    if (context === undefined || spare === undefined) throw new TypeError('a guest before start');
    this.#streams += 1;
    this.#spare = context.stream(`guest-${this.#streams + 1}`);
    return spare;
  }

  #state(): OutletReport['state'] {
    if (this.#stopped !== undefined) return 'stopped';
    if (this.#seeded?.now !== true) return 'waiting';
    return this.#folderFault === undefined ? 'ok' : 'failed';
  }
}

/** @throws LamplighterError ERR_CONFIG */
function checkPlaces({ role, sockets = [], folder }: TrickleOutletOptions, maxGuests: number): void {
  for (const socket of sockets) parseEgdAddress(`unix:${socket}`);
  if (sockets.length > maxGuests) refuse(`there are more than ${maxGuests} sockets`, 'raise maxGuests');
  const names = new Set(sockets.map(guestNameOf));
  if (names.size < sockets.length)
    refuse('two sockets have the same name', 'a socket is named after its guest');
  if (role === 'listen' && folder !== undefined) {
    refuse('a folder is for connecting: it cannot be known who will come', 'name the sockets to listen on');
  }
  if (folder !== undefined && !folder.startsWith('/'))
    refuse('the folder is no absolute path', 'begin it with /');
  if (sockets.length === 0 && folder === undefined)
    refuse('a trickle goes nowhere', 'name sockets or a folder');
}

function refuse(message: string, hint: string): never {
  throw new LamplighterError('ERR_CONFIG', message, { hint });
}
