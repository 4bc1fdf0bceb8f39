import * as fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LamplighterError } from '@lamplighter/core';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { systemEnvironment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { conclude, examine, examineMachine, PROBES } from './examination.js';
import { type Fact, type Level, printable } from './fact.js';
import type { Probe } from './probe.js';
import { type Subject, systemRuntime } from './subject.js';

const never = new AbortController().signal;
const subject: Subject = {
  environment: systemEnvironment(),
  native: systemNative,
  runtime: systemRuntime(),
};
const good: Probe = { id: 'good', look: () => [{ id: 'good', level: 'ok', text: 'fine' }] };

describe('a verdict', () => {
  const fact = fc.record({
    id: fc.string(),
    level: fc.constantFrom<Level>('ok', 'weak', 'broken', 'info'),
    text: fc.string(),
    action: fc.string(),
  });

  it('is as bad as the worst fact, and every bad fact has its action, the worst first', () => {
    fc.assert(
      fc.property(fc.array(fact), (facts) => {
        const { verdict, actions } = conclude(facts);
        const levels = new Set(facts.map(({ level }) => level));
        expect(verdict).toBe(levels.has('broken') ? 'broken' : levels.has('weak') ? 'weak' : 'good');
        const of = (level: Level): string[] =>
          facts.filter((f) => f.level === level).map(({ action }) => action);
        expect(actions).toEqual([...new Set([...of('broken'), ...of('weak')])]);
      }),
    );
  });

  it('of what is only said is good, with nothing to do', () => {
    expect(conclude([{ id: 'a', level: 'info', text: 'so it is', action: 'Do not.' }])).toMatchObject({
      verdict: 'good',
      actions: [],
    });
  });
});

describe('a probe', () => {
  it.each<[string, Probe['look'], string]>([
    [
      'throws',
      () => {
        throw new LamplighterError('ERR_OS_RNG', 'no bytes');
      },
      'no bytes [ERR_OS_RNG]',
    ],
    ['rejects', () => Promise.reject(new Error('with a secret')), 'an unexpected error'],
    ['meets a system error', () => Promise.reject(Object.assign(new Error('x'), { code: 'EIO' })), 'EIO'],
    ['throws nonsense', () => Promise.reject(undefined), 'an unexpected error'],
  ])('that %s is a fact, and the others go on', async (_, look, words) => {
    const { facts, verdict } = await examine(subject, { probes: [{ id: 'bad', look }, good], signal: never });
    expect(facts.map(({ id }) => id)).toEqual(['bad', 'good']);
    expect(facts[0]).toMatchObject({ level: 'weak', text: `could not be looked at: ${words}` });
    expect(verdict).toBe('weak');
  });

  it('that hangs is left behind at its deadline, and told so', async () => {
    const environment = fixedEnvironment();
    const { promise: told, resolve: tell } = withResolvers<AbortSignal>();
    const hanging: Probe = {
      id: 'hanging',
      deadlineMs: 70_000,
      look: (_, given) => {
        tell(given);
        return new Promise(() => undefined);
      },
    };
    const ended = examine({ ...subject, environment }, { probes: [hanging, good], signal: never });
    const signal = await told;
    expect(signal.aborted).toBe(false);
    environment.advance(70_000);
    expect((await ended).facts[0]?.text).toBe('could not be looked at: no answer within 70000 ms');
    expect(signal.aborted).toBe(true);
  });

  it('ends when nobody wants to know any more', async () => {
    const stopping = new AbortController();
    const hanging: Probe = {
      id: 'hanging',
      look: () => {
        stopping.abort();
        return new Promise(() => undefined);
      },
    };
    const { facts } = await examine(subject, { probes: [hanging, hanging], signal: stopping.signal });
    expect(facts.map(({ text }) => text)).toEqual(Array(2).fill('could not be looked at: told to stop'));
  });

  it('cannot steer a terminal by what it found', () => {
    const hostile = '\x1b[2Jgood\r\nverdict: good\u009b31m\u202e';
    const { text, values } = printable({ id: 'x', level: 'ok', text: hostile, values: { hostile } });
    expect(text).toBe('?[2Jgood??verdict: good?31m?');
    expect(values?.['hostile']).toBe(text);
    expect(printable({ id: 'x', level: 'ok', text: 'x'.repeat(10_000) }).text).toHaveLength(400);
  });
});

describe('this machine', () => {
  it('is examined whole, within seconds, and nothing is made or used', { timeout: 60_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lamplighter-doctor-'));
    rmSync(folder, { recursive: true });
    const { facts, verdict, actions } = await examineMachine(systemEnvironment(), {
      files: {},
      state: folder,
      signal: never,
    });
    const ids = facts.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { id } of PROBES.filter((probe) => !['certificate', 'relays'].includes(probe.id))) {
      expect(ids.some((found) => found === id || found.startsWith(`${id}.`))).toBe(true);
    }
    expect(facts.filter(({ text }) => text.startsWith('could not be looked at'))).toEqual([]);
    expect(fact(facts, 'seed')).toMatchObject({ level: 'weak', values: { state: 'missing' } });
    expect(verdict).toBe('weak');
    expect(actions.join('\n')).toContain(`lamplighter seed create --state ${folder}`);
    expect(() => rmSync(folder)).toThrow(/ENOENT/);
  });

  it('is examined although a configuration is not good', async () => {
    const { facts, verdict, actions } = await examineMachine(systemEnvironment(), {
      files: { agent: '/nonexistent/agent.yaml', node: '/nonexistent/node.yaml' },
      signal: AbortSignal.abort(),
    });
    expect(verdict).toBe('broken');
    for (const id of ['config.agent', 'config.node']) {
      expect(fact(facts, id)).toMatchObject({
        level: 'broken',
        values: { good: false, code: 'ERR_CONFIG_FILE' },
      });
    }
    expect(actions[0]).toContain('`lamplighter config check --agent /nonexistent/agent.yaml`');
  });
});

function fact(facts: readonly Fact[], id: string): Fact | undefined {
  return facts.find((found) => found.id === id);
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((give) => (resolve = give));
  return { promise, resolve };
}
