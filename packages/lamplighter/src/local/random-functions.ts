import crypto from 'node:crypto';
import { nextTick } from 'node:process';
import type { BufferedStream } from './buffered-stream.js';
import type { ProcessEnvironment } from './process-environment.js';
import {
  areUuidOptions,
  bytesOf,
  elementsOf,
  isIntegerArray,
  isRange,
  isSize,
  type Region,
  regionOf,
} from './random-arguments.js';
import { below } from './uniform.js';
import { uuidFrom } from './uuid.js';

/** node:crypto's and Web Crypto's random functions: same arguments, results and errors, other bytes. */
export interface RandomFunctions {
  readonly randomBytes: typeof crypto.randomBytes;
  readonly randomFill: typeof crypto.randomFill;
  readonly randomFillSync: typeof crypto.randomFillSync;
  readonly randomInt: typeof crypto.randomInt;
  readonly randomUUID: typeof crypto.randomUUID;
  readonly getRandomValues: typeof crypto.webcrypto.getRandomValues;
}

type Callback = (error: unknown, value?: unknown) => void;

/** Node's, as they were when this was loaded: somebody may put ours in their place. */
const NODE = {
  randomBytes: crypto.randomBytes,
  randomFill: crypto.randomFill,
  randomFillSync: crypto.randomFillSync,
  randomInt: crypto.randomInt,
  randomUUID: crypto.randomUUID,
  getRandomValues: crypto.webcrypto.getRandomValues.bind(crypto.webcrypto),
};

/** Most bytes of one `getRandomValues`: Web Cryptography API, 10.1.1. */
const QUOTA_BYTES = 65_536;
/** With a callback, at most this much is made in one turn of the event loop: 0.5 ms or so. */
const TURN_BYTES = 2 ** 20;

/**
 * The functions on a stream.
 *
 * Arguments that Node's function would not take are shown to Node's function itself, so that what is thrown is what this
 * version of Node throws. Its bytes are never used: should it take what we do not, that is a TypeError here.
 *
 * Deviations: nothing is cached across turns, whatever `disableEntropyCache` says; a callback is called in a later turn
 * from this thread, not from the thread pool; `randomFill(dataView, offset, callback)` works, as it does from Node 24 on.
 * @param stream - where every byte comes from; called for every request
 */
export function randomFunctions(
  stream: () => BufferedStream,
  process: Pick<ProcessEnvironment, 'atEndOfTurn'>,
): RandomFunctions {
  function randomBytes(size: unknown, callback?: unknown): Buffer | undefined {
    if (!isSize(size) || (callback !== undefined && !isCallback(callback))) {
      return refuse(NODE.randomBytes, size, callback);
    }
    // Not from Buffer's shared pool: nobody else's memory lies beside these bytes.
    const buffer = Buffer.allocUnsafeSlow(size >>> 0);
    if (callback === undefined) stream().fillRange(buffer, 0, buffer.length);
    else fillLater({ bytes: buffer, offset: 0, lengthBytes: buffer.length }, buffer, callback);
    return callback === undefined ? buffer : undefined;
  }

  function randomFillSync(buffer: unknown, offset: unknown = 0, size?: unknown): unknown {
    const region = regionOf(buffer, offset, size);
    if (region === undefined) return refuse(NODE.randomFillSync, buffer, offset, size);
    stream().fillRange(region.bytes, region.offset, region.lengthBytes);
    return buffer;
  }

  function randomFill(buffer: unknown, offset: unknown, size?: unknown, callback?: unknown): void {
    const [from, count, done] = fillArguments(buffer, offset, size, callback);
    const region = isCallback(done) ? regionOf(buffer, from, count) : undefined;
    if (!isCallback(done) || region === undefined)
      return refuse(NODE.randomFill, buffer, offset, size, callback);
    fillLater(region, buffer, done);
  }

  /** Fills piece by piece, a turn each, then calls back. What the callback throws is its own. */
  function fillLater({ bytes, offset, lengthBytes }: Region, result: unknown, callback: Callback): void {
    // As in Node: with nothing to do there is nothing to wait for.
    if (lengthBytes === 0) return callback(null, result);
    const end = offset + lengthBytes;
    const fillPiece = (from: number): void => {
      const piece = Math.min(TURN_BYTES, end - from);
      try {
        stream().fillRange(bytes, from, piece);
      } catch (error) {
        callback(error);
        return;
      }
      if (from + piece === end) callback(null, result);
      else process.atEndOfTurn(() => fillPiece(from + piece));
    };
    process.atEndOfTurn(() => fillPiece(offset));
  }

  function randomInt(min: unknown, max?: unknown, callback?: unknown): number | undefined {
    // By far the commonest call, without the general one's 15 ns.
    if (max === undefined && typeof min === 'number' && isRange(0, min)) return below(stream(), min);
    const [least, limit, done] = max === undefined || isCallback(max) ? [0, min, max] : [min, max, callback];
    if (!isRange(least, limit) || (done !== undefined && !isCallback(done))) {
      return refuse(NODE.randomInt, min, max, callback);
    }
    const draw = (): number => Number(least) + below(stream(), Number(limit) - Number(least));
    if (done === undefined) return draw();
    try {
      // As in Node: no error is undefined here, and null everywhere else.
      nextTick(done, undefined, draw());
    } catch (error) {
      nextTick(done, error);
    }
    return undefined;
  }

  function randomUUID(options?: unknown): string {
    if (!areUuidOptions(options)) return refuse(NODE.randomUUID, options);
    return stream().readSixteen(uuidFrom);
  }

  function getRandomValues(array: unknown): unknown {
    const bytes = isIntegerArray(array) ? bytesOf(array) : undefined;
    if (bytes === undefined || bytes.length > QUOTA_BYTES) {
      // The one function of these that tells nothing from `undefined`.
      return arguments.length === 0 ? refuse(NODE.getRandomValues) : refuse(NODE.getRandomValues, array);
    }
    stream().fillRange(bytes, 0, bytes.length);
    return array;
  }

  // Checked above, argument by argument, as Node checks them; so Node's own types hold.
  return {
    randomBytes: randomBytes as typeof crypto.randomBytes,
    randomFill,
    randomFillSync: randomFillSync as typeof crypto.randomFillSync,
    randomInt: randomInt as typeof crypto.randomInt,
    randomUUID: randomUUID as typeof crypto.randomUUID,
    getRandomValues: getRandomValues as typeof crypto.webcrypto.getRandomValues,
  };
}

const isCallback = (value: unknown): value is Callback => typeof value === 'function';

/** randomFill's optional arguments, sorted out as Node does: a missing size is a count of elements. */
function fillArguments(
  buffer: unknown,
  offset: unknown,
  size: unknown,
  callback: unknown,
): readonly [offset: unknown, size: unknown, callback: unknown] {
  if (isCallback(offset)) return [0, undefined, offset];
  if (isCallback(size)) return [offset, elementsOf(buffer) - Number(offset), size];
  return [offset, size, callback];
}

/** Lets Node refuse. Callbacks are not handed on, only that there are some: should Node take it, nobody hears of it. */
function refuse(byNode: (...given: never[]) => unknown, ...given: readonly unknown[]): never {
  const shown = given.map((argument) => (isCallback(argument) ? () => undefined : argument));
  Reflect.apply(byNode, undefined, shown);
  throw new TypeError('lamplighter does not take these arguments');
}
