import type { Environment } from '../local/environment.js';
import type { NodeStatus, Reason } from '../wire/status.js';
import type { Log } from './log.js';

const LOOK_EVERY_MS = 500;

/** Logs every change of state, of the node and of each part, with its reason: what is silent on the log is unchanged. */
export function watchStates(
  environment: Environment,
  log: Log,
  status: () => NodeStatus,
): { cancel(): void } {
  const known = new Map<string, string>();

  function note(part: string, state: string, reason: Reason | undefined): void {
    const seen = `${state} ${reason?.code ?? ''}`;
    if (known.get(part) === seen) return;
    known.set(part, seen);
    const level = state === 'failed' || state === 'degraded' ? 'warn' : 'info';
    log[level]({ part, state, ...(reason && { reason }) }, `${part} is ${state}`);
  }

  function look(): void {
    const { state, sources, outlets } = status();
    for (const source of sources) note(`source ${source.name}`, source.state, source.reason);
    for (const outlet of outlets) note(`outlet ${outlet.name}`, outlet.state, outlet.reason);
    note('node', state, undefined);
  }

  look();
  return environment.timers.every(LOOK_EVERY_MS, look);
}
