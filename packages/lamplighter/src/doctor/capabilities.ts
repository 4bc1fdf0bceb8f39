import type { Environment } from '../local/environment.js';
import { textOf } from './machine-files.js';

/** Linux, include/uapi/linux/capability.h. */
export const CAPABILITY = { sysAdmin: 21n, syslog: 34n } as const;

/**
 * What a process may do beyond its user.
 * @param process - its number, or this one
 * @returns a bit for each capability in effect; undefined when nobody can tell
 */
export async function capabilitiesOf(
  environment: Pick<Environment, 'fs'>,
  process: number | 'self',
): Promise<bigint | undefined> {
  const status = await textOf(environment, `/proc/${process}/status`);
  const effective = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status ?? '')?.[1];
  return effective === undefined ? undefined : BigInt(`0x${effective}`);
}

/** Whether one of {@link CAPABILITY} is among some. */
export function hasCapability(capabilities: bigint, capability: bigint): boolean {
  return ((capabilities >> capability) & 1n) === 1n;
}
