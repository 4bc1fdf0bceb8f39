import { LamplighterError } from '@lamplighter/core';
import { type Environment, monotonicMs } from '../local/environment.js';
import type { FleetStatus } from '../wire/fleet-status.js';
import type { ListenerStatus, NodeStatus, Reason } from '../wire/status.js';
import type { EventLog } from './event-log.js';
import { reasonOf } from '../wire/reason.js';

const LOOK_EVERY_MS = 500;
/** Nobody was turned away for so long: an overload is over. */
const OVERLOAD_OVER_MS = 10_000;
/** States of a part that somebody should look at. */
const FAULTY: ReadonlySet<string> = new Set(['failed', 'degraded']);

/**
 * Tells every change of state, of the node and of each part, with its reason: whatever is silent here is unchanged.
 *
 * It compares one status with the one before, so that it knows of nothing that the status does not say.
 */
export function watchStates(
  environment: Pick<Environment, 'monotonicNs' | 'timers'>,
  events: EventLog,
  status: () => NodeStatus,
): { cancel(): void } {
  const states = new Map<string, string>();
  const overload = overloadWatch(events);

  /** A part that has one of several states. */
  function note(part: string, state: string, reason: Reason | undefined): void {
    const seen = `${state} ${reason?.code ?? ''}`;
    if (states.get(part) === seen) return;
    states.set(part, seen);
    events.add({
      level: FAULTY.has(state) ? 'warn' : 'info',
      part,
      text: `${part} is ${state}`,
      ...(reason && { reason }),
    });
  }

  /** A part that is told of only when something is wrong with it, and when that is over. */
  function complain(part: string, reason: Reason | undefined): void {
    if (reason !== undefined) note(part, 'degraded', reason);
    else if (states.has(part)) note(part, 'ok', undefined);
  }

  function look(): void {
    const now = status();
    for (const source of now.sources) note(`source ${source.name}`, source.state, source.reason);
    for (const outlet of now.outlets) note(`outlet ${outlet.name}`, outlet.state, outlet.reason);
    forgetGone(states, now);
    for (const { name, reason } of now.carriers ?? []) complain(`carrier ${name}`, reason);
    for (const { guest, fault } of now.guests?.qmp ?? []) complain(`monitor of ${guest}`, fault);
    complain('hedge', now.hedge.reason);
    if (now.fleet) lookAtFleet(now.fleet);
    if (now.listener) overload(now.listener, monotonicMs(environment));
    note('node', now.state, undefined);
  }

  function lookAtFleet({ certificate, policy, audit }: FleetStatus): void {
    complain('certificate', certificate.reason);
    tellChange('certificate serial', certificate.serial, () =>
      events.add({
        level: 'info',
        part: 'certificate',
        text: `another certificate is used, ${certificate.serial}, until ${certificate.notAfter}`,
      }),
    );
    complain('policy', policy?.reason);
    if (policy) {
      const { revokedNames, revokedSerials } = policy;
      tellChange('revoked', `${revokedNames} ${revokedSerials}`, () =>
        events.add({
          level: 'info',
          part: 'policy',
          text: `revoked now: ${revokedNames} names, ${revokedSerials} serials`,
        }),
      );
    }
    complain('audit', audit?.reason);
  }

  /** Tells when a value is another than the last time; the first one is no change. */
  function tellChange(what: string, value: string, tell: () => void): void {
    const before = states.get(what);
    states.set(what, value);
    if (before !== undefined && before !== value) tell();
  }

  look();
  return environment.timers.every(LOOK_EVERY_MS, look);
}

/** Parts that a reload took away. One that comes back is told anew. */
function forgetGone(states: Map<string, string>, { sources, outlets }: NodeStatus): void {
  const there = new Set([
    ...sources.map(({ name }) => `source ${name}`),
    ...outlets.map(({ name }) => `outlet ${name}`),
  ]);
  for (const part of states.keys()) {
    if (/^(?:source|outlet) /.test(part) && !there.has(part)) states.delete(part);
  }
}

/** Tells when a listener begins to turn people away because they are too many, and when it has not for a while. */
function overloadWatch(events: EventLog): (listener: ListenerStatus, nowMs: number) => void {
  let before: number | undefined;
  let lastMs: number | undefined;
  let turnedAway = 0;

  return ({ refused }, nowMs) => {
    // Not tooManyConnections: one client that opens more than it may is no overload.
    const count = refused.overloaded + refused.tooManyHandshakes;
    const more = count - (before ?? count);
    before = count;
    if (more > 0) {
      if (lastMs === undefined) {
        turnedAway = 0;
        const reason = reasonOf(
          new LamplighterError('ERR_OVERLOADED', `${more} connections or requests were turned away`),
        );
        events.add({ level: 'warn', part: 'listener', text: 'there are more than can be served', reason });
      }
      turnedAway += more;
      lastMs = nowMs;
    } else if (lastMs !== undefined && nowMs - lastMs >= OVERLOAD_OVER_MS) {
      lastMs = undefined;
      events.add({
        level: 'info',
        part: 'listener',
        text: `the overload is over: ${turnedAway} connections or requests were turned away`,
      });
    }
  };
}
