import type { NodeStatus, OutletStatus, SourceStatus } from '../../wire/status.js';
import type { Chain } from './flow.js';

/** What the block shows beside the chain itself. */
export interface Footer {
  readonly urls: Readonly<Record<string, string>>;
  readonly kernelSeededAt: Date | undefined;
}

/**
 * The status block: one line a hop, in the order of the data's way.
 * @returns lines without colour, at most 100 columns wide
 */
export function statusBlock({ office, relay, boot }: Chain, { urls, kernelSeededAt }: Footer): string[] {
  const camera = office?.sources.find(({ kind }) => kind === 'camera');
  const feed = relay?.sources.find(({ kind }) => kind === 'feed');
  const beacons = relay?.outlets.find(({ kind }) => kind === 'beacon');
  return [
    row('lamps', camera?.basis.simulated ? 'simulated' : '', camera && cameraLine(camera)),
    row('office', office?.state, office && nodeLine(office)),
    row(
      'relay',
      relay?.state,
      relay && feed && `${nodeLine(relay)}, ${feed.details['frames'] ?? 0} frames heard`,
    ),
    row(
      'machine',
      '',
      boot && `${served(beacons)} beacons served; last boot took ${Math.round(boot.tookMs)} ms`,
    ),
    row('kernel', boot?.seeded ? 'seeded' : 'waiting', kernelSeededAt && `last at ${time(kernelSeededAt)}`),
    `  basis   ${relay === undefined || relay.basis.length === 0 ? 'nothing claimed yet' : relay.basis.join(', ')}`,
    ...Object.entries(urls).map(
      ([name, url]) => `  ${name.padEnd(8)}${url}${DASHBOARDS.has(name) ? '  (dashboard)' : ''}`,
    ),
  ].map((line) => line.slice(0, 100));
}

/** Which addresses are for a browser. */
const DASHBOARDS: ReadonlySet<string> = new Set(['office', 'relay']);

function row(hop: string, state: string | undefined, line: string | undefined): string {
  return `  ${hop.padEnd(8)}${(state ?? 'starting').padEnd(10)} ${line ?? '…'}`;
}

function cameraLine({ details, bytes, state, reason }: SourceStatus): string {
  if (state !== 'ok') return reason?.message ?? state;
  return `${details['framesPerSecond'] ?? 0} frames a second, ${size(bytes)} hashed`;
}

function nodeLine({ generator, sources }: NodeStatus): string {
  const events = sources.reduce((sum, source) => sum + source.events, 0);
  return `${events} events in its pools, ${generator.reseeds} reseeds`;
}

const served = (outlet: OutletStatus | undefined): string => String(outlet?.details['beacons'] ?? 0);

const time = (date: Date): string => date.toTimeString().slice(0, 8);

function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1_000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power] ?? ''}`;
}

/** Writes a block over the one before it, on a terminal. */
export class LiveBlock {
  readonly #out: NodeJS.WriteStream;
  #height = 0;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  draw(lines: readonly string[]): void {
    this.clear();
    this.#out.write(`${lines.join('\n')}\n`);
    this.#height = lines.length;
  }

  /** Takes the block away, so that a line can be written where it stood. */
  clear(): void {
    if (this.#height > 0) this.#out.write(`\u001b[${this.#height}A\u001b[J`);
    this.#height = 0;
  }
}
