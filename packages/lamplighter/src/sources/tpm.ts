import { LamplighterError, wipe } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { askedSource } from './asked-source.js';
import { ShortChild } from './child-answer.js';
import { lookAtDevice } from './device-file.js';
import { findProgram } from './find-program.js';
import type { Source } from './source.js';

/** What a TPM 2.0 gives at once is at most one digest long; 32 bytes every one of them gives. */
const ANSWER_LENGTH_BYTES = 32;
const DEFAULT_TCTI = 'device:/dev/tpmrm0';
const DEFAULT_PERIOD_MS = 300_000;
const DEFAULT_DEADLINE_MS = 5_000;

/**
 * The random number generator of a TPM 2.0, 32 bytes an answer, by `tpm2_getrandom` of tpm2-tools.
 *
 * A machine without a TPM, or without the tool, is `absent`, with the reason. The tool is always told where the TPM is: left
 * alone it also tries a port of this machine, where anybody may listen. The bytes cross the bus in the clear, so whoever sits on it
 * knows them; they are mixed with what he does not. Claims no basis. Cost: one child an answer, some 10 ms of CPU; a real
 * TPM may take 100 ms.
 * @param options - `tcti`: how the TPM is reached, as `tpm2_getrandom --tcti` takes it, 1..200 printable characters without
 *   spaces, `device:/dev/tpmrm0` unless told; `periodMs`: mean time between events, 300,000 unless told; `deadlineMs`: for
 *   one answer, 5,000 unless told
 * @throws RangeError when `tcti` is not like that
 */
export function tpmSource(
  options: {
    readonly name?: string;
    readonly tcti?: string;
    readonly periodMs?: number;
    readonly deadlineMs?: number;
  },
  environment: Environment,
): Source {
  const { name = 'tpm', tcti = DEFAULT_TCTI, periodMs = DEFAULT_PERIOD_MS } = options;
  const { deadlineMs = DEFAULT_DEADLINE_MS } = options;
  if (!/^[\x21-\x7e]{1,200}$/.test(tcti)) {
    throw new RangeError('a TCTI is 1 to 200 printable characters without spaces');
  }
  const child = new ShortChild(environment);

  async function ask(signal: AbortSignal): Promise<Uint8Array> {
    // A missing device is looked for first: what the tool says of it fills a page.
    const device = /^device:(\/.*)$/.exec(tcti)?.[1];
    if (device !== undefined) await lookAtDevice(device, environment);
    const tool = await findProgram('tpm2_getrandom', environment);
    if (tool === undefined) {
      throw new LamplighterError('ERR_SOURCE_ABSENT', 'tpm2_getrandom is not installed', {
        hint: 'apt-get install tpm2-tools',
      });
    }
    const args = [`--tcti=${tcti}`, String(ANSWER_LENGTH_BYTES)];
    const { bytes, how, complaint } = await child.run(tool, args, {
      deadlineMs,
      maxBytes: ANSWER_LENGTH_BYTES,
      signal,
    });
    if (bytes.length === ANSWER_LENGTH_BYTES && how === 'code 0') return bytes;
    wipe(bytes);
    const said = complaint === '' ? '' : `: ${complaint}`;
    throw new LamplighterError('ERR_CHILD_EXITED', `tpm2_getrandom ended (${how})${said}`);
  }

  return askedSource({ name, kind: 'tpm', periodMs, ask, details: () => ({ tcti }) }, environment);
}
