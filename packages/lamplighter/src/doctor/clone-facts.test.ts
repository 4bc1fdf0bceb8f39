import { readFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { vmGeneration } from '@lamplighter/native';
import { agentConfig } from '../agent/config.js';
import { unable } from '../local/ability.js';
import { needs } from '../needs.fixture.js';
import { TRICKLE_PORT } from '../wire/trickle.js';
import { cloneFacts } from './clone-facts.js';
import { SEPARATORS } from './clone-separators.js';
import { SIGNS } from './clone-signs.js';
import type { Fact } from './fact.js';
import { LaidOutMachine, MACHINES, type RecordedMachine } from './machine.fixture.js';
import type { Subject } from './subject.js';

/*
 * What parts copies of a machine, and what tells of a restore, on machines other than this one.
 */

const machines: LaidOutMachine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.remove();
});

interface Change {
  readonly files?: Readonly<Record<string, string>>;
  readonly environment?: Partial<Subject['environment']>;
  /** Of the agent's configuration; none unless told. */
  readonly agent?: object;
  readonly userId?: number;
}

async function factsOf(recorded: RecordedMachine, change: Change = {}): Promise<Record<string, Fact>> {
  const { files, environment, agent, userId = recorded.userId } = change;
  const machine = new LaidOutMachine({
    files: { ...recorded.files, ...files },
    environment: { ...recorded.environment, ...environment },
    userId,
  });
  machines.push(machine);
  const tls = { ca: 'ca.pem', cert: 'web-1.pem', key: 'web-1.key' };
  const relays = [{ name: 'one', url: 'https://127.0.0.1:1' }];
  const report = machine.at('/run/agent.json');
  const facts = await cloneFacts({
    ...machine.subject,
    ...(agent && {
      agent: { file: 'agent.yaml', config: agentConfig.parse({ tls, relays, report, ...agent }) },
    }),
  });
  return Object.fromEntries(facts.map((fact) => [fact.id, fact]));
}

const VMGENID = {
  '/sys/bus/platform/drivers/vmgenid/VMGENCTR:00/modalias': '',
  '/sys/bus/platform/drivers/vmgenid/bind': '',
};
const KERNEL_LOG = { '/proc/self/root/dev/kmsg': '' };
const HARDWARE_CLOCK = { '/sys/class/rtc/rtc0/since_epoch': '1700000000\n' };
const PORT = { '/sys/class/virtio-ports/vport0p2/name': `${TRICKLE_PORT}\n` };
const ONLY_ADMIN = { '/proc/self/status': 'CapEff:\t0000000000200000\n' };

describe('a VM clock', () => {
  needs('cc')('that has no generation', () => {
    it('parts nothing, and nobody is sent to read it', async () => {
      const machine = new LaidOutMachine(MACHINES.microvm);
      machines.push(machine);
      const page = Buffer.alloc(4_096);
      page.writeUInt32LE(0x4b4c4356, 0);
      machine.write('/dev/vmclock0', '');
      await fs.writeFile(machine.at('/dev/vmclock0'), page);
      const environment = {
        ...machine.subject.environment,
        vmGeneration: () => vmGeneration(machine.at('/dev/vmclock0')),
      };
      const facts = await cloneFacts({ ...machine.subject, environment });
      const separators = facts.find(({ id }) => id === 'machine.separators');
      expect(separators).toMatchObject({
        level: 'weak',
        values: { vmclock: 'no generation', surest: 'timers' },
      });
      expect(separators?.text).toContain('the VM clock has no generation');
      expect(separators?.action).toContain('-device vmgenid');
      // With the flag it is another matter.
      page.writeBigUInt64LE(1n << 8n, 24);
      await fs.writeFile(machine.at('/dev/vmclock0'), page);
      const again = await cloneFacts({ ...machine.subject, environment });
      expect(again.find(({ id }) => id === 'machine.separators')).toMatchObject({
        level: 'ok',
        values: { surest: 'vmclock' },
      });
    });
  });
});

describe('a line of the host', () => {
  it('is nothing while no agent listens, and the first thing to do where there is no better', async () => {
    const { 'machine.separators': there } = await factsOf(MACHINES.microvm, { files: PORT, agent: {} });
    expect(there).toMatchObject({ level: 'weak', values: { line: 'there', surest: 'timers' } });
    expect(there?.text).toContain('no agent listens');
    expect(there?.action).toContain('host: {}');
  });

  it('parts for certain when the agent listens', async () => {
    const facts = await factsOf(MACHINES.microvm, { files: PORT, agent: { host: {} } });
    expect(facts['machine.separators']).toMatchObject({ level: 'ok', values: { surest: 'line' } });
    expect(facts['machine.clones']?.text).toContain('`lamplighter host burst`');
    expect(facts['machine.signs']).toMatchObject({ level: 'ok', values: { line: true } });
  });

  it('is found where the configuration says, and is another port by another name', async () => {
    const other = { '/sys/class/virtio-ports/vport0p1/name': 'org.qemu.guest_agent.0\n' };
    const absent = await factsOf(MACHINES.microvm, { files: other, agent: { host: {} } });
    expect(absent['machine.separators']?.values).toMatchObject({ line: 'absent' });
    const named = await factsOf(MACHINES.microvm, {
      files: { '/run/line.sock': '' },
      agent: { host: { device: '/run/line.sock' } },
    });
    expect(named['machine.separators']?.values).toMatchObject({ line: 'listened to' });
  });
});

describe('what tells of a restore', () => {
  const signs = async (
    change: Change,
    recorded: RecordedMachine = MACHINES.microvm,
  ): Promise<Fact | undefined> => (await factsOf(recorded, change))['machine.signs'];

  it('is nothing here, which is weak in a virtual machine alone', async () => {
    const nothing = { vmclock: false, kernelLog: false, line: false, hardwareClock: false };
    expect(await signs({})).toMatchObject({ level: 'weak', values: nothing });
    expect(await signs({}, MACHINES.metal)).toMatchObject({ level: 'info', values: nothing });
  });

  it('is the hardware clock', async () => {
    expect(await signs({ files: HARDWARE_CLOCK })).toMatchObject({
      level: 'ok',
      text: 'of a restore tells the hardware clock, within a second, if the copy is more than two old',
    });
  });

  it('is the kernel’s log, where there is a VM generation and it may be read', async () => {
    const readable = { ...VMGENID, ...KERNEL_LOG, ...HARDWARE_CLOCK };
    expect(await signs({ files: readable })).toMatchObject({ level: 'ok', values: { kernelLog: true } });
    // Without a VM generation it says nothing.
    expect(await signs({ files: { ...KERNEL_LOG, ...HARDWARE_CLOCK } })).toMatchObject({
      values: { kernelLog: false },
    });
    for (const closed of [
      { ...VMGENID, ...HARDWARE_CLOCK },
      { ...readable, ...ONLY_ADMIN },
    ]) {
      const fact = await signs({ files: closed });
      expect(fact).toMatchObject({ level: 'weak', values: { kernelLog: false, hardwareClock: true } });
      expect(fact?.action).toContain('kernel-log.conf');
    }
    const open = { ...readable, ...ONLY_ADMIN, '/proc/sys/kernel/dmesg_restrict': '0\n' };
    expect(await signs({ files: open })).toMatchObject({ level: 'ok', values: { kernelLog: true } });
    // Who merely asks, as any user, is sent nowhere.
    expect(await signs({ files: { ...VMGENID, ...HARDWARE_CLOCK }, userId: 1_000 })).toMatchObject({
      level: 'ok',
    });
  });

  it('is the VM clock, and then the log is not missed', async () => {
    const files = { ...VMGENID, ...ONLY_ADMIN };
    expect(await signs({ files }, MACHINES.told)).toMatchObject({ level: 'ok', values: { vmclock: true } });
    const unclocked = { vmGeneration: () => unable('no device') };
    expect(await signs({ files, environment: unclocked }, MACHINES.told)).toMatchObject({ level: 'weak' });
  });
});

describe('docs/CLONES.md', () => {
  const page = readFileSync(new URL('../../../../docs/CLONES.md', import.meta.url), 'utf8');

  it.each([...SEPARATORS, ...SIGNS])('has the words for $name', ({ what }) => {
    expect(page).toContain(what);
  });
});
