import { LamplighterError, wipe } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { Bucket } from '../fleet/bucket.js';
import type { Answer } from './answer.js';
import type { AdminParts } from './parts.js';

/** What the page mixes with as many bytes of its own. */
export const DRAW_BYTES = 32;
/** A person presses a button; more is a program, which should ask for beacons. */
export const DRAW_LIMITS = { perMinute: 120, burst: 20 } as const;

const HEX = Buffer.from('0123456789abcdef');

/**
 * The draw box's half on the node: the one thing here that is secret. It never becomes a string of ours, is written to one
 * connection, and is wiped when that has taken it. What the page shows is made with bytes that this node never sees.
 */
export class DrawBox {
  readonly #draw: AdminParts['draw'];
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  readonly #bucket = new Bucket(DRAW_LIMITS.perMinute, DRAW_LIMITS.burst);

  constructor(draw: AdminParts['draw'], environment: Pick<Environment, 'monotonicNs'>) {
    this.#draw = draw;
    this.#environment = environment;
  }

  /**
   * One draw.
   * @returns `{"bytes":"…"}` with 64 hex digits; whoever sends it wipes its body
   * @throws LamplighterError ERR_QUOTA with `retryAfterMs`; ERR_NOT_SEEDED
   */
  draw(): Answer {
    const waitMs = this.#bucket.take(1, Number(this.#environment.monotonicNs()));
    if (waitMs > 0) {
      throw new LamplighterError('ERR_QUOTA', 'too many values were drawn', { retryAfterMs: waitMs });
    }
    const bytes = this.#draw(DRAW_BYTES);
    const body = Buffer.alloc(PREFIX.length + 2 * bytes.length + SUFFIX.length);
    body.set(PREFIX);
    bytes.forEach((byte, at) => {
      body[PREFIX.length + 2 * at] = HEX[byte >> 4] ?? 0;
      body[PREFIX.length + 2 * at + 1] = HEX[byte & 15] ?? 0;
    });
    body.set(SUFFIX, body.length - SUFFIX.length);
    wipe(bytes);
    return { status: 200, headers: { 'content-type': 'application/json' }, body };
  }
}

const PREFIX = Buffer.from('{"bytes":"');
const SUFFIX = Buffer.from('"}\n');
