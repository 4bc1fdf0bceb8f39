import { LamplighterError, wipe } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { askedSource } from './asked-source.js';
import { ShortChild } from './child-answer.js';
import { lookAtDevice } from './device-file.js';
import { findProgram } from './find-program.js';
import type { Source } from './source.js';

const ANSWER_LENGTH_BYTES = 64;
const DEFAULT_PATH = '/dev/hwrng';
const DEFAULT_PERIOD_MS = 60_000;
const DEFAULT_DEADLINE_MS = 5_000;

/**
 * The hardware RNG that Linux has a driver for (a chip, virtio-rng from the host …), 64 bytes an answer, raw as the driver
 * gives them: the kernel mixes them too, but a kernel that was told to trust them less, or has not asked yet, does not.
 *
 * The device may stay silent for ever, so it is read by a short-lived `head` with a deadline (`fs.read` would lose a thread
 * to it, and four of them stop Node). A machine without one, or with a driver and no chip behind it, is `absent`, with the
 * reason. Claims no basis: what stands behind the device, a host perhaps, cannot be seen. Cost: one child an answer.
 * @param options - `path`: a character device (or FIFO), `/dev/hwrng` unless told; `periodMs`: mean time between events,
 *   60,000 unless told; `deadlineMs`: for one answer, 5,000 unless told
 */
export function hwrngSource(
  options: {
    readonly name?: string;
    readonly path?: string;
    readonly periodMs?: number;
    readonly deadlineMs?: number;
  },
  environment: Environment,
): Source {
  const { name = 'hwrng', path = DEFAULT_PATH, periodMs = DEFAULT_PERIOD_MS } = options;
  const { deadlineMs = DEFAULT_DEADLINE_MS } = options;
  const child = new ShortChild(environment);

  async function ask(signal: AbortSignal): Promise<Uint8Array> {
    await checkDevice(path, environment);
    const head = await findProgram('head', environment);
    if (head === undefined) {
      throw new LamplighterError('ERR_CHILD_FAILED', 'head is not installed', {
        hint: 'apt-get install coreutils',
      });
    }
    const args = ['-c', String(ANSWER_LENGTH_BYTES), '--', path];
    const answer = await child.run(head, args, { deadlineMs, maxBytes: ANSWER_LENGTH_BYTES, signal });
    if (answer.bytes.length === ANSWER_LENGTH_BYTES && answer.how === 'code 0') return answer.bytes;
    const lengthBytes = answer.bytes.length;
    wipe(answer.bytes);
    throw failure(path, lengthBytes, answer.complaint);
  }

  return askedSource({ name, kind: 'hwrng', periodMs, ask, details: () => ({ path }) }, environment);
}

async function checkDevice(path: string, environment: Environment): Promise<void> {
  const stats = await lookAtDevice(path, environment);
  if (stats.isCharacterDevice() || stats.isFIFO()) return;
  throw new LamplighterError('ERR_DEVICE', `${path} is not a character device`, {
    hint: 'for files, sockets and commands use a source of kind process',
  });
}

function failure(path: string, lengthBytes: number, complaint: string): LamplighterError {
  // ENODEV: the hw_random module without a chip. ENXIO: nothing behind the node. Both are what `head` says in LC_ALL=C.
  if (/: No such device( or address)?$/.test(complaint)) {
    return new LamplighterError('ERR_SOURCE_ABSENT', `${path} has no hardware behind it`);
  }
  if (complaint.endsWith(': Permission denied')) {
    return new LamplighterError('ERR_DEVICE', `${path} may not be read by this user`, {
      hint: `give this user read permission, for instance by a udev rule for ${path}`,
    });
  }
  const said = complaint === '' ? '' : `: ${complaint}`;
  return new LamplighterError(
    'ERR_DEVICE',
    `${path} gave ${lengthBytes} of ${ANSWER_LENGTH_BYTES} bytes${said}`,
  );
}
