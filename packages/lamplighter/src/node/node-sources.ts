import { type Accumulator, LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { isCamera } from '../sources/camera/camera.js';
import type { CameraDoor } from '../wire/camera-door.js';
import { labelOf } from '../sources/round.js';
import type { SourceStatus } from '../wire/status.js';
import type { Speaker, Speakers } from './rest.js';
import { createSource, type SourceEntry, type SourceFactory } from './source-kinds.js';
import { SourceRunner } from './source-runner.js';

/** The highest source numbers belong to what clients push in and what a resume hears; configured sources count up from 0. */
export const CLIENT_INPUT_NUMBER = 255;
export const RESUME_NUMBER = 254;

/** Whoever can reach an outlet that takes input says what he likes: none of it is secret. */
const CLIENT_INPUT: Speaker = { name: 'clients', kind: 'clients', isSecret: false };
/** What a resume samples of this machine. */
const RESUME: Speaker = { name: 'resume', kind: 'resume', isSecret: true };

/** The sources of one node, by name: made, started, stopped, replaced. */
export class NodeSources implements Speakers {
  readonly #accumulator: Accumulator;
  readonly #environment: Environment;
  readonly #factory: SourceFactory;
  readonly #runners = new Map<string, SourceRunner>();
  readonly #numbers = new Map<string, number>();
  /** By number, also those that are gone: what they said may still be in the pools. */
  readonly #heard = new Map<number, SourceRunner>();
  #simulatedBefore = false;

  /** @param factory - what sources are made with; its environment may differ from the node's own */
  constructor(accumulator: Accumulator, environment: Environment, factory: SourceFactory) {
    this.#accumulator = accumulator;
    this.#environment = environment;
    this.#factory = factory;
  }

  get all(): readonly SourceRunner[] {
    return [...this.#runners.values()];
  }

  /** Whether anything simulated was ever mixed in, also by a source that is gone: it does not wear off. */
  get everSimulated(): boolean {
    return this.#simulatedBefore || this.all.some((runner) => runner.everSimulated);
  }

  status(): SourceStatus[] {
    return this.all.map((runner) => runner.status());
  }

  /** What of a camera may be looked at, and what it is given; undefined when there is none of that name. */
  camera(name: string): CameraDoor | undefined {
    const source = this.#runners.get(name)?.source;
    return source !== undefined && isCamera(source) ? source.door : undefined;
  }

  numbered(source: number): Speaker | undefined {
    if (source === CLIENT_INPUT_NUMBER) return CLIENT_INPUT;
    if (source === RESUME_NUMBER) return RESUME;
    return this.#heard.get(source)?.speaker;
  }

  labelled(label: string): Speaker | undefined {
    return this.all.find(({ source }) => labelOf(source) === label)?.speaker;
  }

  /** Makes one, not started. @throws LamplighterError `fix-configuration` when it can never work */
  make(entry: SourceEntry): SourceRunner {
    const source = createSource(entry, this.#factory);
    return new SourceRunner(source, entry, this.#numberOf(entry.name), this.#accumulator, this.#environment);
  }

  async start(runner: SourceRunner): Promise<void> {
    this.#runners.set(runner.entry.name, runner);
    this.#heard.set(this.#numberOf(runner.entry.name), runner);
    await runner.start();
  }

  /** Stops and forgets one, if there is one of that name. */
  async stop(name: string): Promise<void> {
    const runner = this.#runners.get(name);
    if (runner === undefined) return;
    this.#runners.delete(name);
    this.#simulatedBefore ||= runner.everSimulated;
    await runner.stop();
  }

  /** Stops all; their last status stays. */
  async stopAll(): Promise<void> {
    await Promise.all(this.all.map((runner) => runner.stop()));
  }

  /** Every relay is asked for a beacon, which goes straight into the generator: the last step of a resume. */
  async fetchBeacons(signal: AbortSignal): Promise<void> {
    const relays = this.all.filter(({ source }) => source.kind === 'beacon');
    await Promise.all(
      relays.map(async (runner) => {
        const beacon = await runner.source.sample(signal);
        if (beacon === undefined || signal.aborted) return;
        runner.hear(beacon);
        beacon.fill(0);
      }),
    );
  }

  /** A source keeps its number for the life of the node, also across a reload that changes it. */
  #numberOf(name: string): number {
    const number = this.#numbers.get(name) ?? this.#numbers.size;
    if (number >= RESUME_NUMBER) {
      throw new LamplighterError('ERR_CONFIG', 'sources: more than 254 names since the node started', {
        hint: 'restart the node',
      });
    }
    this.#numbers.set(name, number);
    return number;
  }
}
