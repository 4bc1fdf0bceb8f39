import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import type { Source } from '../sources/source.js';
import { NO_BASIS } from '../wire/basis.js';
import { knownKinds, sourceOf } from './known-sources.js';
import { trySource } from './source-trial.js';

const environment = systemEnvironment();
const never = new AbortController().signal;

describe('a trial', () => {
  it('hears a source, asks it once, and stops it', async () => {
    const source = sourceOf('os', { periodMs: 100 }, environment);
    const sofar: number[] = [];
    const trial = await trySource(source, {
      environment,
      seconds: 1.2,
      signal: never,
      onSecond: ({ events }) => sofar.push(events),
    });
    expect(trial).toMatchObject({ kind: 'os', state: 'ok', physical: false, simulated: false });
    expect(trial.events).toBeGreaterThan(2);
    expect(trial.bytes).toBe(64 * trial.events);
    expect(trial.answer?.bytes).toBe(64);
    expect(trial.seconds).toBeGreaterThanOrEqual(1.19);
    expect(sofar).toHaveLength(1);
    expect(source.status().state).toBe('stopped');
  });

  it('ends early when told, with what is known', async () => {
    const stopping = new AbortController();
    const source = sourceOf('timing', {}, environment);
    const trial = trySource(source, { environment, seconds: 3_600, signal: stopping.signal });
    setTimeout(() => stopping.abort(), 20);
    expect((await trial).seconds).toBeLessThan(60);
    expect(source.status().state).toBe('stopped');
  });

  it('says when there was no answer by its deadline', async () => {
    const silent: Source = {
      name: 'silent',
      kind: 'os',
      position: 'outside',
      start: () => Promise.resolve(),
      sample: (signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => resolve(undefined), { once: true });
        }),
      status: () => ({ state: 'starting', basis: NO_BASIS, details: {} }),
      stop: () => Promise.resolve(),
    };
    const trial = await trySource(silent, { environment, seconds: 0, answerMs: 5, signal: never });
    expect(trial).toMatchObject({ state: 'starting', events: 0 });
    expect(trial.answer).toBeUndefined();
  });
});

describe('known sources', () => {
  it('are those of the registry, with what each needs', () => {
    const needs = new Map(knownKinds().map((known) => [known.kind, known.needs]));
    expect(needs.get('os')).toEqual([]);
    expect(needs.get('camera')).toEqual(['url']);
    expect(needs.get('feed')).toEqual(['url']);
  });

  it.each([
    ['oss', {}, 'there is: '],
    ['os', { periodMs: 'often' }, '--set key=value'],
    ['os', { colour: 'blue' }, '--set key=value'],
  ])('refuse %s %j', (kind, options, hint) => {
    expect(() => sourceOf(kind, options, environment)).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', hint: expect.stringContaining(hint) as unknown }),
    );
  });

  it('that ask a node say where their certificates come from', () => {
    const feed = sourceOf('feed', { url: 'https://127.0.0.1:1' }, environment);
    expect(feed.kind).toBe('feed');
  });
});
