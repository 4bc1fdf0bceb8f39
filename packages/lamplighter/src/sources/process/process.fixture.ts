import { readFileSync } from 'node:fs';
import { systemEnvironment } from '../../local/environment.js';
import { until } from '../camera/until.fixture.js';
import { type Heard, hearing } from './hearing-source.fixture.js';
import { type ProcessOptions, processSource } from './process.js';

/** Every wait is as long as it may be, so that the state before it is there to be seen: this number is one's share of it. */
const LONGEST_WAITS = { ...systemEnvironment(), runtimeRandom: (n: number) => Buffer.alloc(n, 0xff) };

/** For tests: a process source at work, on the real machine. */
export function run(
  from: ProcessOptions['from'],
  body: (heard: Heard) => Promise<void>,
  options: Partial<ProcessOptions> = {},
): Promise<void> {
  return hearing(processSource({ ...options, from }, LONGEST_WAITS), body);
}

/** A shell script as a command: our source starts no shell, a test may. */
export function script(text: string): { command: string[] } {
  return { command: ['sh', '-c', text] };
}

/** Waits for the process number that somebody writes to a file. */
export function pidIn(file: string): Promise<number> {
  return until('a process number', () => {
    const text = readOrNothing(file);
    return text.endsWith('\n') ? Number(text) : undefined;
  });
}

/** Whether a process is there. A zombie that nobody has collected yet is as dead as can be. */
export function isAlive(pid: number): boolean {
  const status = readOrNothing(`/proc/${pid}/status`);
  return status !== '' && !/^State:\s+Z/m.test(status);
}

function readOrNothing(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
