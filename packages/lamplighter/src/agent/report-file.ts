import { dirname } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { replaceWhole } from '../local/durable-file.js';
import type { Environment } from '../local/environment.js';
import type { BootReport } from './boot.js';
import type { RenewalReport } from './renewal.js';

/** What the report file holds: what was done last, when, and by whom. No secret. */
export interface AgentReport {
  readonly version: 1;
  readonly pid: number;
  /** Which process of that number: numbers come round again, and this one will be sent signals. */
  readonly started: string;
  /** ISO 8601. */
  readonly at: string;
  /** Whether that process stays, and can be told to resume. */
  readonly resident: boolean;
  readonly last: BootReport;
  /** What became of the certificate since, when that was something. */
  readonly renewal?: RenewalReport;
}

const MAX_BYTES = 65_536;

/**
 * Writes the report, readable by everybody: it says of this machine only what its logs say.
 * @param report - `resident`: whether this process stays; `at`: when `last` was done, now unless told
 * @returns why not, if not; that stops nothing
 */
export async function writeReport(
  environment: Environment,
  path: string,
  {
    resident,
    last,
    renewal,
    at = new Date(Number(environment.realtimeNs() / 1_000_000n)).toISOString(),
  }: Pick<AgentReport, 'resident' | 'last' | 'renewal'> & Partial<Pick<AgentReport, 'at'>>,
): Promise<LamplighterError | undefined> {
  const report: AgentReport = {
    version: 1,
    pid: process.pid,
    started: (await processStart(environment, process.pid)) ?? 'unknown',
    at,
    resident,
    last,
    ...(renewal && { renewal }),
  };
  try {
    await environment.fs.mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await replaceWhole(environment.fs, path, Buffer.from(`${JSON.stringify(report)}\n`), 0o644);
    return undefined;
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'an unexpected error';
    return new LamplighterError('ERR_STATE_FILE', `cannot write the report ${path}: ${why}`, {
      hint: 'name a place that can be written to (report: …)',
      cause,
    });
  }
}

/**
 * Says which process is the agent that stays.
 * @returns its process number
 * @throws LamplighterError ERR_AGENT_ABSENT when there is none, or nobody can tell
 */
export async function residentAgent(environment: Environment, path: string): Promise<number> {
  const absent = (why: string): LamplighterError =>
    new LamplighterError('ERR_AGENT_ABSENT', `no agent is running here: ${why}`, {
      hint: 'start one with `lamplighter agent --config FILE`',
    });
  let found: unknown;
  try {
    const { size } = await environment.fs.stat(path);
    if (size > MAX_BYTES) throw absent(`${path} is not its report`);
    found = JSON.parse(await environment.fs.readFile(path, 'utf8'));
  } catch {
    throw absent(`${path} cannot be read`);
  }
  if (typeof found !== 'object' || found === null || !('pid' in found) || !('resident' in found)) {
    throw absent(`${path} is not its report`);
  }
  const { pid, resident } = found;
  const started: unknown = 'started' in found ? found.started : undefined;
  if (resident !== true || typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 2) {
    throw absent('the last one did its work once and ended');
  }
  if (started !== (await processStart(environment, pid))) throw absent(`process ${pid} is over`);
  return pid;
}

/** Boot id and start time of a process, which together no other process ever has; undefined when there is no such process. */
async function processStart(environment: Environment, pid: number): Promise<string | undefined> {
  const boot = environment.bootId();
  try {
    const stat = await environment.fs.readFile(`/proc/${pid}/stat`, 'latin1');
    // Behind the name, which stands in brackets and may hold any character: state is field 3, starttime field 22.
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    if (startTime === undefined || !boot.supported) return undefined;
    return `${Buffer.from(boot.value).toString('hex')}/${startTime}`;
  } catch {
    return undefined;
  }
}
