import type { Part } from '@lamplighter/core';
import type { Ability } from './ability.js';
import type { Environment } from './environment.js';
import type { ProcessEnvironment } from './process-environment.js';

/**
 * What tells this root from every other one, in this process or another, now or after a restart. No secrets.
 *
 * Source: DESIGN section 2, promise 2. Two roots of one machine differ in `start` (process, thread, number of the root in
 * its thread) or, when a process number comes round again, in `monotonic`; two boots in `boot-id`; two copies of a machine
 * in `vm-generation`, where the hypervisor tells it.
 * @param rootNumber - as `ProcessEnvironment.nextRoot` counted
 */
export function separators(
  environment: Environment,
  process: ProcessEnvironment,
  rootNumber: number,
): readonly Part[] {
  return [
    { label: 'start', bytes: u64s(BigInt(process.pid()), BigInt(process.threadId), BigInt(rootNumber)) },
    ...momentParts(environment),
  ];
}

/** What tells this moment of this machine from every other: clocks, boot, VM generation, cycle counter. No secrets. */
export function momentParts(environment: Environment): readonly Part[] {
  return [
    { label: 'realtime', bytes: u64s(environment.realtimeNs()) },
    { label: 'monotonic', bytes: u64s(environment.monotonicNs()) },
    { label: 'boot-id', bytes: present(environment.bootId(), (bytes) => bytes) },
    { label: 'vm-generation', bytes: present(environment.vmGeneration(), (bytes) => bytes) },
    { label: 'cycles', bytes: present(environment.cycleCounter(), (count) => u64s(count)) },
  ];
}

/** Numbers as bytes, big-endian, 8 each. */
export function u64s(...values: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(8 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) view.setBigUint64(8 * index, value);
  return bytes;
}

function present<T>(ability: Ability<T>, bytesOf: (value: T) => Uint8Array): Uint8Array | undefined {
  return ability.supported ? bytesOf(ability.value) : undefined;
}
