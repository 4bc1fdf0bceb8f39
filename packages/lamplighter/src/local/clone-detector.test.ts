import { describe, expect, it } from 'vitest';
import { type Ability, able, unable } from './ability.js';
import { CloneDetector, type CloneSign } from './clone-detector.js';
import { fixedEnvironment } from './fixed-environment.fixture.js';
import { fixedProcess } from './fixed-process.fixture.js';

/** A machine at rest, with knobs. */
function machine() {
  const fixed = fixedEnvironment();
  const knobs = {
    realStepNs: 0n,
    generation: able(Uint8Array.of(1)) as Ability<Uint8Array>,
    cycleStep: 0n,
    monotonicStepNs: 0n,
    generationReads: 0,
    bootReads: 0,
  };
  const environment = {
    ...fixed,
    monotonicNs: () => fixed.monotonicNs() + knobs.monotonicStepNs,
    realtimeNs: () => fixed.realtimeNs() + knobs.realStepNs,
    cycleCounter: () => able(fixed.monotonicNs() + knobs.cycleStep),
    vmGeneration: () => {
      knobs.generationReads += 1;
      return knobs.generation;
    },
  };
  const process = fixedProcess(environment);
  const bootTimeNs = () => able(environment.monotonicNs() + process.asleepNs);
  process.bootTimeNs = () => {
    knobs.bootReads += 1;
    return bootTimeNs();
  };
  const start = (): CloneDetector => new CloneDetector(environment, process);
  const advance = (milliseconds: number): void => fixed.advance(milliseconds);
  return { advance, knobs, process, environment, start };
}

describe('clone detector', () => {
  it('sees nothing in an hour of ordinary time', () => {
    const { environment, advance, start } = machine();
    const detector = start();
    for (let minute = 0; minute < 60; minute += 1) {
      advance(60_000);
      expect(detector.look(environment.monotonicNs())).toBeUndefined();
    }
  });

  type Machine = ReturnType<typeof machine>;
  const signs: readonly (readonly [CloneSign, afterMs: number, happen: (still: Machine) => void])[] = [
    ['vm-generation', 1, ({ knobs }) => void (knobs.generation = able(Uint8Array.of(2)))],
    ['vm-generation', 1, ({ knobs }) => void (knobs.generation = unable('gone'))],
    ['pid', 0, ({ process }) => void (process.number += 1)],
    ['cycle-counter', 0, ({ knobs }) => void (knobs.cycleStep = -1_000_000_000n)],
    ['clock', 1, ({ knobs }) => void (knobs.realStepNs = 2_000_000_000n)],
    ['clock', 1, ({ knobs }) => void (knobs.realStepNs = -2_000_000_000n)],
    ['clock', 1_000, ({ process }) => void (process.asleepNs = 60_000_000_000n)],
    ['clock', 0, ({ knobs }) => void (knobs.monotonicStepNs = -500_000_000n)],
  ];
  it.each(signs)(
    'gives the sign %s at the latest %i ms later, until it is settled',
    (sign, afterMs, happen) => {
      const still = machine();
      const detector = still.start();
      expect(detector.look(still.environment.monotonicNs())).toBeUndefined();
      happen(still);
      still.advance(afterMs);
      expect(detector.look(still.environment.monotonicNs())).toBe(sign);
      expect(detector.look(still.environment.monotonicNs())).toBe(sign);
      detector.settle(sign);
      still.advance(5_000);
      expect(detector.look(still.environment.monotonicNs())).toBeUndefined();
    },
  );

  it('hears of a VM generation that appears where there was none, within a second', () => {
    const { knobs, environment, advance, start } = machine();
    knobs.generation = unable('no device');
    const detector = start();
    knobs.generation = able(Uint8Array.of(1));
    advance(1_000);
    expect(detector.look(environment.monotonicNs())).toBe('vm-generation');
  });

  it('gives a sign from clocks at most once a second, and does not forget the one it held back', () => {
    const { knobs, environment, advance, start } = machine();
    const detector = start();
    knobs.realStepNs += 2_000_000_000n;
    advance(1);
    expect(detector.look(environment.monotonicNs())).toBe('clock');
    detector.settle('clock');
    knobs.realStepNs += 2_000_000_000n;
    for (let step = 0; step < 9; step += 1) {
      advance(100);
      expect(detector.look(environment.monotonicNs())).toBeUndefined();
    }
    advance(100);
    expect(detector.look(environment.monotonicNs())).toBe('clock');
  });

  it('gives surer signs at once, also right after one from clocks', () => {
    const { knobs, environment, advance, start } = machine();
    const detector = start();
    knobs.realStepNs += 2_000_000_000n;
    advance(1);
    detector.look(environment.monotonicNs());
    detector.settle('clock');
    knobs.generation = able(Uint8Array.of(9));
    advance(1);
    expect(detector.look(environment.monotonicNs())).toBe('vm-generation');
  });

  it('lets clocks part by what reading them in steps of 10 ms makes', () => {
    const { knobs, process, environment, advance, start } = machine();
    const detector = start();
    knobs.realStepNs = 20_000_000n;
    process.asleepNs = -20_000_000n;
    advance(2_000);
    expect(detector.look(environment.monotonicNs())).toBeUndefined();
  });

  it('reads files no more often than it says', () => {
    const { knobs, environment, advance, start } = machine();
    const detector = start();
    knobs.generationReads = 0;
    knobs.bootReads = 0;
    for (let look = 0; look < 1_000; look += 1) detector.look(environment.monotonicNs());
    expect(knobs).toMatchObject({ generationReads: 0, bootReads: 0 });
    for (let passed = 0; passed < 3_000; passed += 1) {
      advance(1);
      detector.look(environment.monotonicNs());
    }
    expect(knobs.generationReads).toBe(3_000);
    expect(knobs.bootReads).toBe(3);
  });
});
