import { LamplighterError, type Part } from '@lamplighter/core';

/** A source of one's own: what `Lamplighter.create` takes. */
export interface LibrarySource {
  /** `a-z 0-9 . -`, at most 63 characters, not beginning with `.` or `-`; unique in its instance. */
  readonly name: string;
  /**
   * Fresh bytes, at once or later; undefined when there are none. Asked at first seeding, then about once a second
   * while the library is used, and at resume. Never asked again before it has answered.
   *
   * Bytes are mixed, never counted or trusted: a source that is wrong, known or hostile takes nothing away. They are
   * copied; the source may reuse its memory. At most {@link MAX_ANSWER_BYTES}; more is refused.
   */
  sample(): Uint8Array | undefined | Promise<Uint8Array | undefined>;
}

/** One source, as status tells it. */
export interface OwnSourceStatus {
  readonly name: string;
  /** `waiting`: has not answered yet. `silent`: answered that it has nothing. `failed`: threw, or gave what is no bytes. */
  readonly state: 'waiting' | 'ok' | 'silent' | 'failed';
  readonly answers: number;
  readonly reason?: string;
}

export const MAX_ANSWER_BYTES = 65_536;
/** Numbers below these are the library's own sources'. */
const MAX_SOURCES = 200;
const NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;

/** Hears an answer that came later. `first` for the first one of a source. */
export type LateAnswer = (answer: { index: number; name: string; bytes: Uint8Array; first: boolean }) => void;

/**
 * Asks sources, each on its own terms: answers at once are returned, later ones are told when they come.
 */
export class OwnSources {
  readonly #runners: readonly Runner[];
  readonly #late: LateAnswer;

  /**
   * @throws TypeError if a source has no name or no `sample`; RangeError for a bad or double name, or more than 200
   */
  constructor(sources: readonly LibrarySource[], late: LateAnswer) {
    assertSources(sources);
    this.#runners = sources.map((source) => newRunner(source));
    this.#late = late;
  }

  /** Starts asking those that have nothing outstanding. @returns what was answered at once, a part for every source */
  ask(): readonly Part[] {
    return this.#runners
      .map((runner, index) => ({ label: `process/${runner.name}`, bytes: this.#askOne(runner, index) }))
      .sort((a, b) => (a.label < b.label ? -1 : 1));
  }

  /** Resolves when every question now outstanding has been answered, however it ends. Never rejects. */
  async settled(): Promise<void> {
    await Promise.all(this.#runners.map(({ outstanding }) => outstanding ?? Promise.resolve()));
  }

  /** Where in the list the source of a part stands. */
  indexOf(label: string): number {
    return this.#runners.findIndex(({ name }) => label === `process/${name}`);
  }

  get length(): number {
    return this.#runners.length;
  }

  status(): readonly OwnSourceStatus[] {
    return this.#runners.map(({ name, state, answers, reason }) => ({
      name,
      state,
      answers,
      ...(reason !== undefined && { reason }),
    }));
  }

  #askOne(runner: Runner, index: number): Uint8Array | undefined {
    if (runner.outstanding !== undefined) return undefined;
    try {
      const answer = runner.source.sample();
      if (!isPromiseLike(answer)) return take(runner, answer);
      runner.outstanding = Promise.resolve(answer)
        .then((later) => {
          const first = runner.answers === 0;
          const bytes = take(runner, later);
          if (bytes !== undefined) this.#late({ index, name: runner.name, bytes, first });
        })
        .catch((error: unknown) => fail(runner, error))
        .finally(() => {
          runner.outstanding = undefined;
        });
      return undefined;
    } catch (error) {
      fail(runner, error);
      return undefined;
    }
  }
}

interface Runner {
  readonly source: LibrarySource;
  readonly name: string;
  state: OwnSourceStatus['state'];
  answers: number;
  reason: string | undefined;
  outstanding: Promise<void> | undefined;
}

const newRunner = (source: LibrarySource): Runner => ({
  source,
  name: source.name,
  state: 'waiting',
  answers: 0,
  reason: undefined,
  outstanding: undefined,
});

function isPromiseLike(answer: unknown): answer is PromiseLike<unknown> {
  return typeof answer === 'object' && answer !== null && 'then' in answer;
}

/** @returns a copy */
function take(runner: Runner, answer: unknown): Uint8Array | undefined {
  if (answer === undefined || (answer instanceof Uint8Array && answer.length === 0)) {
    runner.state = 'silent';
    runner.reason = undefined;
    return undefined;
  }
  if (!(answer instanceof Uint8Array)) throw new TypeError('the source gave something that is no Uint8Array');
  if (answer.length > MAX_ANSWER_BYTES) {
    throw new LamplighterError('ERR_USAGE', `the source gave more than ${MAX_ANSWER_BYTES} bytes`);
  }
  runner.state = 'ok';
  runner.reason = undefined;
  runner.answers += 1;
  return Uint8Array.from(answer);
}

function fail(runner: Runner, error: unknown): void {
  runner.state = 'failed';
  runner.reason = error instanceof Error ? error.message : 'the source failed';
}

function assertSources(sources: readonly LibrarySource[]): void {
  const given: unknown = sources;
  if (!Array.isArray(given)) throw new TypeError('sources are an array');
  if (sources.length > MAX_SOURCES) throw new RangeError(`there are at most ${MAX_SOURCES} sources`);
  for (const source of sources) {
    if (typeof source.name !== 'string' || typeof source.sample !== 'function') {
      throw new TypeError('a source has a name and a function sample');
    }
    if (!NAME.test(source.name)) {
      throw new RangeError('a source’s name has 1 to 63 of a-z 0-9 . - and begins with a letter or digit');
    }
  }
  if (new Set(sources.map(({ name }) => name)).size !== sources.length) {
    throw new RangeError('two sources have one name');
  }
}
