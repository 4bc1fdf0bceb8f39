import { LamplighterError } from '@lamplighter/core';
import { replaceDurably } from '../../local/durable-file.js';
import type { Environment } from '../../local/environment.js';
import type { Reason } from '../../wire/status.js';
import { reasonOfFaults } from './fault-reasons.js';
import type { CameraFault } from './health/camera-health.js';
import { type Observation, type ObservationOptions, observeCamera } from './observation.js';
import { drawProbe } from './probe-picture.js';

/** What a probe says, in the order in which it is printed as JSON. */
export interface ProbeReport {
  /** `degraded` also when there was too little video to say, or none. */
  readonly verdict: 'healthy' | 'degraded';
  /** Every fault there was at any time, in the order of the registry of tests. */
  readonly faults: readonly CameraFault[];
  /** The numbers of the health tests at the end. */
  readonly numbers: Readonly<Record<string, number>>;
  /** What was read: kind, url without secrets, codec, size, rate, length. */
  readonly input: Observation['input'];
  /** Why it is not healthy; its code is that of the first thing that was wrong. */
  readonly error?: Reason;
}

/** A probe that is over. */
export interface Probe {
  readonly report: ProbeReport;
  /** Draws what the tests looked at: a PNG file. */
  readonly draw: () => Uint8Array;
}

/**
 * Looks at a camera or a recording and says what the health tests of a node say of it.
 * @throws LamplighterError ERR_CONFIG when the url is none; ERR_STOPPED when the signal fires. That there is no camera is no
 *   error: it is in the report
 */
export async function probeCamera(
  options: Omit<ObservationOptions, 'onPicture'>,
  environment: Environment,
  signal: AbortSignal,
): Promise<Probe> {
  const observation = await observeCamera(options, environment, signal);
  const report = reportOf(observation);
  return { report, draw: () => drawn(observation, report) };
}

/**
 * Writes a file for people, whole or not at all, 0644 less the umask.
 * @throws LamplighterError ERR_OUTPUT_FILE; what was there before is untouched
 */
export async function writeOutput(file: string, bytes: Uint8Array, environment: Environment): Promise<void> {
  try {
    await replaceDurably(environment.fs, file, bytes, 0o644);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw new LamplighterError('ERR_OUTPUT_FILE', `${file} cannot be written (${code})`, {
      hint: 'name a file in a folder that is there and that this user may write to',
      cause,
    });
  }
}

function reportOf({ verdict, faults, numbers, input, error }: Observation): ProbeReport {
  const reason = error ?? reasonOfFaults(faults) ?? (verdict === 'unknown' ? tooShort(input) : undefined);
  const report = { verdict: reason === undefined ? 'healthy' : 'degraded', faults, numbers, input } as const;
  return reason === undefined ? report : { ...report, error: reason };
}

function tooShort({ seconds, pictures }: Observation['input']): Reason {
  return {
    code: 'ERR_CAMERA_TOO_SHORT',
    message: `${seconds ?? 0} s of video and ${pictures ?? 0} pictures are too little to say`,
    hint: 'look for longer: ten seconds tell most faults, a loop takes twice its length',
  };
}

function drawn({ watch }: Observation, { verdict, faults, numbers, input }: ProbeReport): Uint8Array {
  const shown = Object.entries(numbers).map(([name, value]) => `${name}=${Math.round(value * 1000) / 1000}`);
  const { url = '', codec = '', framesPerSecond = 0, seconds = 0 } = input;
  const size = `${input['width'] ?? 0}X${input['height'] ?? 0}`;
  const title = [
    String(url),
    `${codec} ${size}, ${framesPerSecond} frames a second, ${seconds} s seen`,
    `${verdict}${faults.length === 0 ? '' : `: ${faults.join(', ')}`}`,
    ...linesOf(shown),
  ];
  return drawProbe({ title, ...watch.view() });
}

const WORDS_A_LINE = 4;

function linesOf(words: readonly string[]): string[] {
  const lines = Math.ceil(words.length / WORDS_A_LINE);
  return Array.from({ length: lines }, (_, line) =>
    words.slice(line * WORDS_A_LINE, (line + 1) * WORDS_A_LINE).join('  '),
  );
}
