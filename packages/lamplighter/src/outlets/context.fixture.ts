import { Accumulator, LamplighterError } from '@lamplighter/core';
import { unable } from '../local/ability.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { openStream } from '../local/stream.js';
import { type Basis, NO_BASIS } from '../wire/basis.js';
import type { NodeState } from '../wire/status.js';
import type { OutletContext } from './outlet.js';

/** A root with real streams, and the part of a node that an outlet sees. */
export interface TestNode {
  readonly accumulator: Accumulator;
  readonly context: OutletContext;
  /** What `readiness()` says of the output's basis. */
  basis: Basis;
  /** What `readiness()` says; `starting` until seeded. */
  state: NodeState;
  /** First seeding, from this one byte alone. */
  seed(byte?: number): void;
  /** Any later reseed. */
  reseed(byte: number): void;
  /** As when the node stops before it was seeded. */
  stopUnseeded(): void;
}

/** An environment whose clocks stand still: with the same seed, streams give the same bytes. */
export function frozenEnvironment(): Environment {
  return {
    ...systemEnvironment(),
    monotonicNs: () => 5_000_000_000n,
    realtimeNs: () => 1_700_000_000_000_000_000n,
    cycleCounter: () => unable('frozen'),
    cpuRandom: () => unable('frozen'),
  };
}

export function testNode(environment: Environment = systemEnvironment()): TestNode {
  const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => 0 });
  const reseed = (byte: number): void =>
    accumulator.reseedDirect('test', [{ label: 'os', bytes: new Uint8Array(64).fill(byte) }]);
  let becomeReady: () => void = () => undefined;
  let giveUp: (error: LamplighterError) => void = () => undefined;
  const ready = new Promise<void>((resolve, reject) => {
    becomeReady = resolve;
    giveUp = reject;
  });
  ready.catch(() => undefined);
  const node: TestNode = {
    accumulator,
    basis: NO_BASIS,
    state: 'starting',
    context: {
      stream: (label) => openStream(accumulator, environment, label),
      readiness: () => ({ state: node.state, basis: node.basis }),
      ready: () => ready,
      hear: () => undefined,
    },
    seed(byte = 1) {
      reseed(byte);
      node.state = 'ready';
      becomeReady();
    },
    reseed,
    stopUnseeded: () => giveUp(new LamplighterError('ERR_STOPPED', 'stopped')),
  };
  return node;
}
