import { isThere } from '../local/is-there.js';
import { runningAgent } from './agent-facts.js';
import { CAPABILITY, capabilitiesOf, hasCapability } from './capabilities.js';
import type { SeparatorLook } from './clone-separators.js';
import type { Fact } from './fact.js';
import { numberIn } from './machine-files.js';
import type { Subject } from './subject.js';

/** By what an agent or node learns that its machine was cloned or restored, the surest first. */
export const SIGNS = [
  { name: 'vmclock', what: 'the VM clock, before the next byte' },
  { name: 'kernelLog', what: 'the kernel’s log, within a second' },
  { name: 'line', what: 'the host, when it sends a burst' },
  { name: 'hardwareClock', what: 'the hardware clock, within a second, if the copy is more than two old' },
] as const;

type SignName = (typeof SIGNS)[number]['name'];

const HARDWARE_CLOCK = '/sys/class/rtc/rtc0/since_epoch';
const DROP_IN = '/etc/systemd/system/lamplighter-agent.service.d/kernel-log.conf';

/**
 * What tells the agent that runs here, or else what is started as we were, that its machine is a copy.
 * @param isVirtual - undefined when nothing tells
 */
export async function signsFact(
  subject: Subject,
  { vmclock, vmgenid, line }: SeparatorLook,
  isVirtual: boolean | undefined,
): Promise<Fact> {
  const { environment } = subject;
  const pid = await runningAgent(subject);
  const readsLog = vmgenid === 'works' && (await mayReadKernelLog(subject, pid ?? 'self'));
  const here: Readonly<Record<SignName, boolean>> = {
    vmclock: vmclock === 'works',
    kernelLog: readsLog,
    line: line === 'listened to',
    hardwareClock: (await numberIn(environment, HARDWARE_CLOCK)) !== undefined,
  };
  const found = SIGNS.filter(({ name }) => here[name]).map(({ what }) => what);
  const who = pid === undefined ? '' : ` to the agent, process ${pid},`;
  const unread = vmgenid === 'works' && !readsLog && !here.vmclock;
  const why = unread ? '; the kernel’s log, which would tell, may not be read' : '';
  const action = isVirtual === true ? actionFor({ unread, isBlind: found.length === 0 }, subject) : undefined;
  return {
    id: 'machine.signs',
    level: action !== undefined ? 'weak' : isVirtual === true ? 'ok' : 'info',
    text: `of a restore${who} tell${found.length === 1 ? 's' : ''} ${found.join('; ') || 'nothing but clocks that jump'}${why}`,
    values: { ...here },
    ...(action !== undefined && { action }),
  };
}

async function mayReadKernelLog({ environment }: Subject, process: number | 'self'): Promise<boolean> {
  // Its own /dev: a unit may have another than ours.
  if (!(await isThere(environment, `/proc/${process}/root/dev/kmsg`))) return false;
  if ((await numberIn(environment, '/proc/sys/kernel/dmesg_restrict')) === 0) return true;
  return hasCapability((await capabilitiesOf(environment, process)) ?? 0n, CAPABILITY.syslog);
}

/** What a virtual machine lacks; undefined when that is nothing, or nobody is meant to see it. */
function actionFor(
  { unread, isBlind }: { readonly unread: boolean; readonly isBlind: boolean },
  { agent, runtime }: Subject,
): string | undefined {
  const isMeant = agent !== undefined || runtime.userId === 0;
  if (unread && isMeant) {
    return `Let the agent read its kernel’s log: \`install -D -m 644 deploy/systemd/drop-ins/kernel-log.conf ${DROP_IN}\`.`;
  }
  if (!isBlind) return undefined;
  return 'Tell the agent of every restore: `lamplighter agent resume` in the guest, or `lamplighter host burst` at its host with `host: {}` in the agent’s configuration.';
}
