import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { Rest, type Speaker } from './rest.js';

const wall: Speaker = { name: 'wall', kind: 'camera', isSecret: true };
const os: Speaker = { name: 'os', kind: 'os', isSecret: true };

function newRest() {
  const environment = fixedEnvironment();
  const speakers = new Map([
    [0, wall],
    [1, os],
  ]);
  const rest = new Rest(environment, {
    numbered: (source) => speakers.get(source),
    labelled: (label) => (label === 'camera/wall' ? wall : label === 'os' ? os : undefined),
  });
  return { environment, rest, speakers };
}

describe('what the output rests on', () => {
  it('is nothing before the first reseed', () => {
    const { rest } = newRest();
    expect(rest.lastReseed).toBeUndefined();
    expect(rest.status()).toEqual([]);
  });

  it('is who was in a drain or a part, each with the time of the last reseed that had bytes of it', () => {
    const { rest, environment } = newRest();
    rest.note({ sources: [], labels: ['camera/wall', 'os'] });
    environment.advance(60_000);
    rest.note({ sources: [1], labels: [] });
    expect(rest.lastReseed).toBe('2023-11-14T22:14:21.000Z');
    expect(rest.status()).toEqual([
      { ...wall, reachedAt: '2023-11-14T22:13:21.000Z' },
      { ...os, reachedAt: '2023-11-14T22:14:21.000Z' },
    ]);
  });

  it('judges a source when its bytes reach the generator: one that was covered later is still what it was', () => {
    const { rest, speakers } = newRest();
    rest.note({ sources: [0], labels: [] });
    speakers.set(0, { ...wall, isSecret: false });
    expect(rest.status()[0]).toMatchObject({ isSecret: true });
    rest.note({ sources: [0], labels: [] });
    expect(rest.status()).toEqual([expect.objectContaining({ name: 'wall', isSecret: false })]);
  });

  it('names the machine seed and what a resume sampled, and leaves out what only tells one moment from another', () => {
    const { rest } = newRest();
    rest.note({ sources: [77], labels: ['start', 'monotonic', 'boot-id', 'cycles', 'seed', 'whirlwind'] });
    expect(rest.status().map(({ name, kind }) => [name, kind])).toEqual([
      ['seed', 'seed'],
      ['whirlwind', 'whirlwind'],
    ]);
  });
});
