import type { Environment } from '../local/environment.js';
import { textOf } from './machine-files.js';

/** What Linux says of the first CPU, in one vocabulary for x86-64 and arm64. */
export interface CpuInfo {
  readonly flags: ReadonlySet<string>;
  readonly model: string | undefined;
}

/** Reads /proc/cpuinfo. @returns undefined when it says nothing of flags */
export async function cpuInfo(environment: Pick<Environment, 'fs'>): Promise<CpuInfo | undefined> {
  const text = await textOf(environment, '/proc/cpuinfo');
  // x86-64 says flags, arm64 Features.
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text ?? '')?.[1];
  if (flags === undefined) return undefined;
  const model = /^model name\s*:\s*(.*)$/m.exec(text ?? '')?.[1];
  return { flags: new Set(flags.trim().split(/\s+/)), model };
}
