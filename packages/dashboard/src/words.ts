import type { NodeStatus, OutletReport, SourceState } from '../../lamplighter/src/wire/status.js';
import { list } from './figures.js';
import type { View } from './live.js';

/** How a thing is, for its sign: a shape as well as a colour. */
export type Light = 'lit' | 'dim' | 'off' | 'fault';

/** The state of a source in words, and its sign. */
export const SOURCE_WORDS: Readonly<Record<SourceState, readonly [Light, string]>> = {
  starting: ['dim', 'starting'],
  ok: ['lit', 'heard'],
  degraded: ['fault', 'heard, earns no credit'],
  failed: ['fault', 'not heard'],
  absent: ['off', 'not on this machine'],
  ended: ['off', 'came to its end'],
  stopped: ['off', 'stopped'],
};

/** The state of an outlet in words, and its sign. */
export const OUTLET_WORDS: Readonly<Record<OutletReport['state'], readonly [Light, string]>> = {
  waiting: ['dim', 'waiting for the seed'],
  ok: ['lit', 'open'],
  failed: ['fault', 'failed'],
  stopped: ['off', 'stopped'],
};

/** How the node is, as a headline and a sentence. */
export interface Headline {
  readonly light: Light;
  readonly title: string;
  readonly sentence: string;
}

/** Says how the node is, or why that cannot be said. */
export function headlineOf({ link, recent }: View): Headline {
  const status = recent.at(-1);
  switch (link) {
    case 'connecting':
      return { light: 'dim', title: 'Looking for the node', sentence: 'Waiting for its first word.' };
    case 'lost':
      return status === undefined
        ? { light: 'fault', title: 'No answer', sentence: 'The node cannot be reached from here.' }
        : { light: 'fault', title: 'Connection lost', sentence: 'What is below is what was last heard.' };
    case 'stopped':
      return {
        light: 'off',
        title: 'The node has stopped',
        sentence: 'It said goodbye. What is below is what was last heard.',
      };
    case 'strange':
      return {
        light: 'fault',
        title: 'Another version answers',
        sentence: 'Reload this page: the node was replaced while it was open.',
      };
    case 'live':
      return status === undefined
        ? headlineOf({ link: 'connecting', recent, events: [], sinceMs: 0 })
        : liveHeadline(status);
  }
}

function liveHeadline({ state, basis, reasons, rest }: NodeStatus): Headline {
  switch (state) {
    case 'starting':
      return {
        light: 'dim',
        title: 'Starting, not seeded yet',
        sentence:
          reasons.length === 0
            ? 'Nothing is served until it is.'
            : 'Nothing is served until it is. It waits for this:',
      };
    case 'stopping':
      return { light: 'off', title: 'Stopping', sentence: 'It finishes what it has begun.' };
    case 'ready':
      return { light: 'lit', title: 'Ready', sentence: `Seeded and serving. ${basisSentence(basis, rest)}` };
    case 'degraded':
      return {
        light: 'fault',
        title: 'Serving, but look at this',
        sentence: `${basisSentence(basis, rest)} Something is wrong:`,
      };
  }
}

function basisSentence(basis: readonly string[], rest: NodeStatus['rest']): string {
  const secret = rest.filter(({ isSecret }) => isSecret).map(({ name }) => name);
  const from = secret.length === 0 ? '' : `What it gives rests on ${list(secret)}.`;
  if (basis.includes('physical')) return `${from} A healthy physical source is among them.`.trim();
  if (basis.includes('simulated'))
    return `${from} Something simulated went in too; it is credited nothing.`.trim();
  return from;
}

/** What the pictures of a camera say, in a sentence. */
export const PICTURE_WORDS: Readonly<Record<string, string>> = {
  healthy: 'Healthy: it shows what a sensor sees.',
  unknown: 'Too early to say: it has to be watched for a while.',
  degraded: 'Something is wrong with the picture.',
  'not-decodable': 'There is video, but no picture in it can be read.',
};
