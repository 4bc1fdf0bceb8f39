import type { Source } from '../source.js';
import type { SourceReport } from '../../wire/status.js';
import { until } from '../camera/until.fixture.js';

/** A source at work in a test, and what it heard. */
export interface Heard {
  readonly source: Source;
  readonly events: Buffer[];
  readonly bytes: () => number;
  readonly text: () => string;
  /** Waits until the status says so. */
  readonly state: (wanted: SourceReport['state'], code?: string) => Promise<void>;
}

/** How long the truth may take to stand in a status: the longest back-off, and a slow machine. */
const TRUTH_MS = 15_000;

/** Starts a source, runs the test, stops the source whatever happens. */
export async function hearing(source: Source, body: (heard: Heard) => Promise<void>): Promise<void> {
  const events: Buffer[] = [];
  await source.start({ hear: (bytes) => events.push(Buffer.from(bytes)) }, new AbortController().signal);
  try {
    await body({
      source,
      events,
      bytes: () => events.reduce((sum, { length }) => sum + length, 0),
      text: () => Buffer.concat(events).toString('latin1'),
      state: async (wanted, code) => {
        const holds = (): boolean => {
          const { state, reason } = source.status();
          return state === wanted && (code === undefined || reason?.code === code);
        };
        const shown = (): string => JSON.stringify(source.status());
        await until(`state ${wanted} ${code ?? ''}`, holds, TRUTH_MS).catch((error: unknown) => {
          throw new Error(`${String(error)}; it is ${shown()}`, { cause: error });
        });
      },
    });
  } finally {
    await source.stop();
  }
}
