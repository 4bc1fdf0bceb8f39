import { type Reseed, SEPARATOR_LABELS } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import type { RestsOn } from '../wire/status.js';

/** Who was heard, and whether what he says may be secret now. */
export type Speaker = Omit<RestsOn, 'reachedAt'>;

/** How a reseed's numbers and labels become names. */
export interface Speakers {
  /** By source number; undefined for one that was never given out. */
  numbered(source: number): Speaker | undefined;
  /** By the label of a part; undefined for one that no configured source has. */
  labelled(label: string): Speaker | undefined;
}

/** Parts for which nobody was heard: what was before, and the pools, whose sources have numbers. */
const NOT_HEARD: ReadonlySet<string> = new Set([...SEPARATOR_LABELS, 'root', 'pools']);

/**
 * What the output of a node rests on: whose bytes have reached the generator, when, and whether they may be secret. Bounded by
 * the names there can be: 256 numbers and the table of labels.
 */
export class Rest {
  readonly #environment: Pick<Environment, 'realtimeNs'>;
  readonly #speakers: Speakers;
  readonly #reached = new Map<string, { readonly speaker: Speaker; readonly atMs: number }>();
  #lastReseedMs: number | undefined;

  constructor(environment: Pick<Environment, 'realtimeNs'>, speakers: Speakers) {
    this.#environment = environment;
    this.#speakers = speakers;
  }

  /** Real time of the last reseed, ISO 8601; undefined before the first. */
  get lastReseed(): string | undefined {
    return this.#lastReseedMs === undefined ? undefined : iso(this.#lastReseedMs);
  }

  /** A reseed was made. Whether a source is secret is judged now: what it said later is not in it. */
  note({ sources, labels }: Reseed): void {
    const atMs = Number(this.#environment.realtimeNs() / 1_000_000n);
    this.#lastReseedMs = atMs;
    for (const source of sources) this.#note(this.#speakers.numbered(source), atMs);
    for (const label of labels) {
      if (!NOT_HEARD.has(label)) this.#note(this.#speakers.labelled(label) ?? unnamed(label), atMs);
    }
  }

  status(): RestsOn[] {
    return [...this.#reached.values()].map(({ speaker, atMs }) => ({ ...speaker, reachedAt: iso(atMs) }));
  }

  #note(speaker: Speaker | undefined, atMs: number): void {
    if (speaker !== undefined) this.#reached.set(`${speaker.kind} ${speaker.name}`, { speaker, atMs });
  }
}

/** A part of no configured source: the machine seed, and what a resume samples of this machine. */
function unnamed(label: string): Speaker {
  const [kind = label, name = label] = label.split('/');
  return { name, kind, isSecret: true };
}

const iso = (ms: number): string => new Date(ms).toISOString();
