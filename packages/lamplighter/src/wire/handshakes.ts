import type net from 'node:net';
import { Demand } from './demand.js';
import { HandshakePace } from './handshake-pace.js';
import type { RefusedReason } from './listener-limits.js';
import { networkOf } from './network.js';
import { WaitingLine } from './waiting-line.js';

// Implementation constants.
/** What one network may have of the places, so that there is always one for another. */
const SHARE = 0.75;

/** The bounds of {@link Handshakes}. */
export interface HandshakeLimits {
  /** From the connection to the beginning of its handshake; as long again to its end. */
  readonly handshakeTimeoutMs: number;
  /** For which a connection that has spoken may wait for a place: after longer its client has not much patience left. */
  readonly handshakeLineMs: number;
  /** For which a handshake that was begun keeps its place while others wait for one. */
  readonly handshakePatienceMs: number;
  /** Handshakes under way at once. */
  readonly maxHandshakes: number;
  /** Connections that have spoken and wait for a place. */
  readonly maxWaiting: number;
  /** Connections that have not said anything yet. */
  readonly maxSilent: number;
}

/** What {@link Handshakes} asks of its listener. */
export interface HandshakeDoors {
  /** Begins the handshake of a connection. */
  begin(socket: net.Socket): void;
  /** Counts what was refused. */
  refuse(reason: RefusedReason): void;
  /** Whether there will be room for the connection when its handshake is done. */
  hasRoom(): boolean;
}

/**
 * Which TCP connections may begin their TLS handshake, and when. A handshake costs a millisecond of processor time; who
 * comes when there is none left is told so at once, for the price of an `accept`.
 *
 * 1. A connection needs a place only once it has said something: silent ones shut nobody out.
 * 2. What was begun is finished. Dropping the oldest for the newest finishes nothing: with it 600 clients at once got 6 % of
 *    the beacons that 16 got.
 * 3. Who finds all places taken waits in a line, for `handshakeLineMs`: who waited longer would be served when its client has
 *    given up. One network never has all the places.
 * 4. Every other place goes to the network that has asked least lately, so that a quiet machine gets through a crowd; the rest
 *    in turns, so that nobody is passed over for ever.
 * 5. When the line is full, the last to come of the network that has the most in it goes; of several the one that asks most.
 * 6. While others wait, a handshake keeps its place for `handshakePatienceMs` only.
 */
export class Handshakes {
  readonly #limits: HandshakeLimits;
  readonly #doors: HandshakeDoors;
  readonly #maxPerNetwork: number;
  readonly #silent = new WaitingLine<Entry>();
  readonly #waiting = new WaitingLine<Entry>();
  /** By both ends' addresses, the oldest first. */
  readonly #begun = new Map<string, Entry>();
  readonly #begunPerNetwork = new Map<string, number>();
  readonly #demand = new Demand();
  /** Whether the next place goes by turns. */
  #isTurn = true;
  readonly #pace = new HandshakePace((least, endMs) => this.#beginSome(least, endMs));
  #patience: NodeJS.Timeout | undefined;

  constructor(limits: HandshakeLimits, doors: HandshakeDoors) {
    this.#limits = limits;
    this.#doors = doors;
    this.#maxPerNetwork = Math.max(1, Math.floor(limits.maxHandshakes * SHARE));
  }

  /** Handshakes under way. */
  get begun(): number {
    return this.#begun.size;
  }

  /** Connections that have spoken and wait for a place. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Connections that have said nothing yet. */
  get silent(): number {
    return this.#silent.size;
  }

  /** A TCP connection has come: its handshake is begun when it may be, or it is destroyed. */
  offer(socket: net.Socket): void {
    this.#pace.accepted();
    const key = addressesOf(socket);
    // Gone before we came to it.
    if (key === undefined) {
      socket.destroy();
      return;
    }
    const group = networkOf(socket.remoteAddress);
    this.#demand.note(group, performance.now());
    const late = setTimeout(() => this.#drop(entry, 'handshakeTimeout'), this.#limits.handshakeTimeoutMs);
    const entry: Entry = { socket, key, group, late, beganMs: Infinity };
    socket.once('close', () => this.#gone(entry));
    const isFull = this.#waiting.size >= this.#limits.maxWaiting;
    if (isFull && this.#waiting.sizeOf(group) >= this.#waiting.longest().size) {
      // It would be the one to go as soon as it speaks.
      this.#drop(entry, 'tooManyHandshakes');
      return;
    }
    this.#silent.add(entry);
    if (this.#silent.size > this.#limits.maxSilent) {
      const [oldest] = this.#silent.longest();
      if (oldest !== undefined) this.#drop(oldest, 'tooManyHandshakes');
    }
    socket.once('readable', () => this.#spoke(entry));
  }

  /** A connection is through its handshake: its place is free. */
  done(socket: net.Socket): void {
    const entry = this.#begun.get(addressesOf(socket) ?? '');
    if (entry !== undefined) this.#leave(entry);
  }

  /** Begins as many as may be, soon: called when there may be room again. */
  proceed(): void {
    if (this.#waiting.size > 0) this.#pace.due();
  }

  /** Destroys everything that is not through its handshake. */
  destroy(): void {
    for (const { socket } of [...this.#silent, ...this.#waiting, ...this.#begun.values()]) socket.destroy();
  }

  /** A connection's first bytes are here, or its end. */
  #spoke(entry: Entry): void {
    if (!this.#silent.has(entry)) return;
    if (entry.socket.readableLength === 0) {
      this.#drop(entry, 'handshake');
      return;
    }
    this.#silent.delete(entry);
    this.#waiting.add(entry);
    clearTimeout(entry.late);
    entry.late = setTimeout(() => this.#drop(entry, 'tooManyHandshakes'), this.#limits.handshakeLineMs);
    if (this.#waiting.size > this.#limits.maxWaiting) {
      const last = [...this.#waiting.longest(this.#ranking())].at(-1);
      if (last !== undefined) this.#drop(last, 'tooManyHandshakes');
    }
    this.proceed();
  }

  /** @param least - as many as may be, until `endMs`; so many also after it */
  #beginSome(least: number, endMs: number): void {
    const entry = this.#next();
    if (entry === undefined) {
      this.#awaitPatience();
      return;
    }
    const nowMs = performance.now();
    clearTimeout(entry.late);
    entry.beganMs = nowMs;
    this.#begun.set(entry.key, entry);
    this.#begunPerNetwork.set(entry.group, this.#begunIn(entry.group) + 1);
    this.#doors.begin(entry.socket);
    // Node hands on what the connection has said in a tick of its own; only then is the price of this one known.
    if (nowMs < endMs || least > 1) process.nextTick(() => this.#beginSome(least - 1, endMs));
    else this.proceed();
  }

  #next(): Entry | undefined {
    if (this.#begun.size >= this.#limits.maxHandshakes || !this.#doors.hasRoom()) return undefined;
    const may = (group: string): boolean => this.#begunIn(group) < this.#maxPerNetwork;
    const next = this.#isTurn ? this.#waiting.take(may) : this.#waiting.takeLeast(may, this.#ranking());
    if (next !== undefined) this.#isTurn = !this.#isTurn;
    return next;
  }

  #ranking(): (group: string) => number {
    const nowMs = performance.now();
    return (group) => this.#demand.of(group, nowMs);
  }

  /** Some wait, and no place is free: looks again when the oldest handshake has had its time. */
  #awaitPatience(): void {
    const [oldest] = this.#begun.values();
    if (this.#patience !== undefined || this.#waiting.size === 0 || oldest === undefined) return;
    const leftMs = oldest.beganMs + this.#limits.handshakePatienceMs - performance.now();
    this.#patience = setTimeout(
      () => {
        this.#patience = undefined;
        this.#evict();
        this.proceed();
      },
      Math.max(1, leftMs),
    );
    this.#patience.unref();
  }

  #evict(): void {
    const latestMs = performance.now() - this.#limits.handshakePatienceMs;
    let wanted = this.#doors.hasRoom() ? this.#waiting.size : 0;
    const isFull = this.#begun.size >= this.#limits.maxHandshakes;
    // What is dropped meanwhile is gone from the map, which its iteration allows.
    for (const entry of this.#begun.values()) {
      if (wanted === 0 || entry.beganMs > latestMs) return;
      // Where places are free, only a network's own handshakes are in its way.
      if (!isFull && this.#waiting.sizeOf(entry.group) === 0) continue;
      this.#drop(entry, 'tooManyHandshakes');
      wanted -= 1;
    }
  }

  #drop(entry: Entry, reason: RefusedReason): void {
    this.#doors.refuse(reason);
    const isSilent = this.#silent.has(entry);
    this.#forget(entry);
    if (isSilent) entry.socket.destroy();
    // A reset leaves nothing behind, neither here nor in the kernel, where each that is closed takes a place for a minute.
    else entry.socket.resetAndDestroy();
  }

  #gone(entry: Entry): void {
    if (this.#silent.has(entry) || this.#waiting.has(entry)) this.#doors.refuse('handshake');
    this.#forget(entry);
  }

  #forget(entry: Entry): void {
    clearTimeout(entry.late);
    this.#silent.delete(entry);
    this.#waiting.delete(entry);
    if (this.#begun.get(entry.key) === entry) this.#leave(entry);
  }

  #leave(entry: Entry): void {
    this.#begun.delete(entry.key);
    const left = this.#begunIn(entry.group) - 1;
    if (left > 0) this.#begunPerNetwork.set(entry.group, left);
    else this.#begunPerNetwork.delete(entry.group);
    this.proceed();
  }

  #begunIn(group: string): number {
    return this.#begunPerNetwork.get(group) ?? 0;
  }
}

/** One TCP connection that is not through its handshake. */
interface Entry {
  readonly socket: net.Socket;
  readonly key: string;
  /** Its network. */
  readonly group: string;
  /** Ends it when it does not speak, or its handshake was not begun, in time. */
  late: NodeJS.Timeout;
  /** Monotonic milliseconds (performance.now). */
  beganMs: number;
}

/** Both ends' addresses: no two live TCP connections share them. Absent for other carriers, and once the peer is gone. */
function addressesOf(socket: net.Socket): string | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
