import { clockFault } from '../agent/clock.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import { isThere } from '../local/is-there.js';
import type { Fact } from './fact.js';
import { loadOwnTls } from './own-tls.js';
import { lookAtSeed } from './seed-look.js';
import { seedPlaces, type Subject } from './subject.js';

/** Clocks are set in steps: so much is no fault. */
const SLACK_MS = 60_000;
const ACTION = 'Set the clock, and keep it set: `timedatectl set-ntp true`.';

/** Whether the clock can be right: not before a certificate of ours was made, nor before a seed of ours was last written. */
export async function clockFacts(subject: Subject): Promise<readonly Fact[]> {
  const { environment } = subject;
  const realtimeNs = environment.realtimeNs();
  const nowMs = Number(realtimeNs / 1_000_000n);
  const synchronised = await isThere(environment, '/run/systemd/timesync/synchronized');
  const changes = await Promise.all(seedPlaces(subject).map(({ folder }) => lookAtSeed(subject, folder)));
  const lastChangedMs = Math.max(0, ...changes.map(({ facts }) => facts?.lastChangedMs ?? 0));
  const materials = await certificates(subject);

  const id = 'clock.time';
  const now = new Date(nowMs).toISOString();
  const values = { now, synchronised };
  for (const tls of materials) {
    const fault = clockFault(tls, lastChangedMs === 0 ? undefined : lastChangedMs, realtimeNs);
    if (fault !== undefined) {
      return [
        {
          id,
          level: 'broken',
          text: `${fault.message}: no relay is asked`,
          values: { ...values, code: fault.code },
          action: ACTION,
        },
      ];
    }
  }
  if (nowMs < lastChangedMs - SLACK_MS) {
    return [
      {
        id,
        level: 'broken',
        text: `this machine believes it is ${now}, before the machine seed was last written (${new Date(lastChangedMs).toISOString()})`,
        values: { ...values, code: 'ERR_CLOCK' },
        action: ACTION,
      },
    ];
  }
  if (materials.length === 0 && lastChangedMs === 0) {
    return [{ id, level: 'info', text: `${now}; there is nothing to compare it with`, values }];
  }
  const kept = synchronised ? ', kept by systemd-timesyncd' : '';
  return [{ id, level: 'ok', text: `${now}, plausible${kept}`, values }];
}

/** Those that can be used; what is wrong with the others has facts of its own. */
async function certificates({ environment, agent, node }: Subject): Promise<readonly TlsMaterial[]> {
  const paths = [agent?.config.tls, node?.config.tls].filter((tls) => tls !== undefined);
  const loaded = await Promise.all(paths.map((tls) => loadOwnTls(environment, tls).catch(() => undefined)));
  return loaded.filter((tls) => tls !== undefined);
}
