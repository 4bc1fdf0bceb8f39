import { afterEach, describe, expect, it } from 'vitest';
import { able, unable } from '../local/ability.js';
import { cloneFacts } from './clone-facts.js';
import { cpuFacts } from './cpu-facts.js';
import type { Fact } from './fact.js';
import { kernelFacts } from './kernel-facts.js';
import { LaidOutMachine, MACHINES, type RecordedMachine } from './machine.fixture.js';
import { memoryFacts } from './memory-facts.js';

/*
 * Machines other than this one, by their recorded files.
 */

const machines: LaidOutMachine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.remove();
});

async function factsOf(
  recorded: RecordedMachine,
  change: (machine: LaidOutMachine) => void = () => undefined,
): Promise<Readonly<Record<string, Fact>>> {
  const machine = new LaidOutMachine(recorded);
  machines.push(machine);
  change(machine);
  const { subject } = machine;
  const all = [kernelFacts, cpuFacts, cloneFacts, memoryFacts].map((look) => look(subject));
  return Object.fromEntries((await Promise.all(all)).flat().map((fact) => [fact.id, fact]));
}

const levels = (facts: Readonly<Record<string, Fact>>): object =>
  Object.fromEntries(Object.entries(facts).map(([id, { level }]) => [id, level]));

describe('a microVM of an old CPU', () => {
  it('has nothing that surely parts its clones, which is weak', async () => {
    const facts = await factsOf(MACHINES.microvm);
    expect(facts['machine.kind']).toMatchObject({ values: { virtual: true, container: false } });
    expect(facts['machine.separators']).toMatchObject({
      level: 'weak',
      text: 'nothing certain: timers differ by tens of bits',
      values: {
        vmclock: 'absent',
        vmgenid: 'absent',
        line: 'absent',
        host: false,
        cpu: false,
        surest: 'timers',
      },
      action: expect.stringContaining('-device vmgenid') as unknown,
    });
    expect(facts['machine.clones']?.text).toContain('among thousands some will not');
  });

  it('is looked at for everything else', async () => {
    const facts = await factsOf(MACHINES.microvm);
    expect(levels(facts)).toEqual({
      'kernel.rng': 'ok',
      'kernel.version': 'info',
      'kernel.handover': 'ok',
      'kernel.hwrng': 'info',
      'cpu.random': 'info',
      'cpu.cycles': 'ok',
      'clock.resolution': 'ok',
      'machine.kind': 'info',
      'machine.separators': 'weak',
      'machine.signs': 'weak',
      'machine.clones': 'info',
      'memory.dumps': 'info',
    });
    expect(facts['kernel.rng']?.values).toMatchObject({ entropyBits: 37, ready: true, stuck: false });
    expect(facts['kernel.version']?.text).toContain('before 5.18');
    expect(facts['cpu.random']).toMatchObject({ values: { rdseed: false, rdrand: false, works: false } });
    expect(facts['cpu.cycles']?.values).toMatchObject({
      constant: true,
      nonstop: false,
      clocksource: 'kvm-clock',
    });
  });

  it.each([
    ['/dev/vmclock0', 'chmod 0444 /dev/vmclock0', { vmclock: 'unread' }],
    ['/sys/bus/acpi/devices/AMZNC10C:00/modalias', 'modprobe ptp_vmclock', { vmclock: 'offered' }],
    ['/sys/bus/acpi/devices/VMGENCTR:00/modalias', 'CONFIG_VMGENID', { vmgenid: 'offered' }],
  ])('with %s is told to use it', async (file, command, values) => {
    const facts = await factsOf(MACHINES.microvm, (machine) => machine.write(file, ''));
    expect(facts['machine.separators']).toMatchObject({ level: 'weak', values });
    expect(facts['machine.separators']?.action).toContain(command);
  });

  it('knows a device by its identifiers where its name says nothing', async () => {
    const facts = await factsOf(MACHINES.microvm, (machine) =>
      machine.write('/sys/bus/acpi/devices/device:00/modalias', 'acpi:ACME0001:VM_GEN_COUNTER:\n'),
    );
    expect(facts['machine.separators']?.values).toMatchObject({ vmgenid: 'offered' });
  });
});

describe('a machine whose host tells it', () => {
  it('parts its clones by the surest there is', async () => {
    const facts = await factsOf(MACHINES.told);
    expect(facts['machine.separators']).toMatchObject({
      level: 'ok',
      values: { vmclock: 'works', vmgenid: 'works', host: true, cpu: true, surest: 'vmclock' },
    });
    expect(facts['machine.clones']?.text).toContain('within a millisecond');
  });

  it.each([
    ['vmgenid', 'until a process sees a sign'],
    ['host', 'bytes of the host part them'],
    ['cpu', 'if the CPU is honest'],
  ])('says what repeats when %s is the surest', async (surest, words) => {
    const files: Record<string, string> = { ...MACHINES.told.files };
    if (surest !== 'vmgenid') {
      delete files['/sys/bus/platform/drivers/vmgenid/VMGENCTR:00/modalias'];
      if (surest !== 'host') files['/sys/class/misc/hw_random/rng_current'] = 'none\n';
    }
    const environment = { ...MACHINES.told.environment, vmGeneration: () => unable('no device') };
    const facts = await factsOf({ files, environment, userId: 0 });
    expect(facts['machine.separators']).toMatchObject({ level: 'ok', values: { surest } });
    expect(facts['machine.clones']?.text).toContain(words);
  });

  it('has a driver without a device, which is none', async () => {
    const files: Record<string, string> = { ...MACHINES.told.files };
    delete files['/sys/bus/platform/drivers/vmgenid/VMGENCTR:00/modalias'];
    const facts = await factsOf({ ...MACHINES.told, files });
    expect(facts['machine.separators']?.values).toMatchObject({ vmgenid: 'absent' });
  });
});

describe('a server by itself', () => {
  it('is good as it is', async () => {
    const facts = await factsOf(MACHINES.metal);
    expect(facts['machine.kind']).toMatchObject({
      text: 'no hypervisor seen (Dell Inc. PowerEdge R6515)',
      values: { virtual: false },
    });
    expect(Object.values(facts).filter(({ level }) => level === 'weak' || level === 'broken')).toEqual([]);
    expect(facts['kernel.hwrng']).toMatchObject({ values: { current: 'tpm-rng-0', device: true } });
    expect(facts['cpu.cycles']?.text).toContain('constant, never stops; the kernel’s clock is tsc');
    expect(facts['memory.dumps']?.values).toEqual({ limit: '0', handler: true, swap: true });
  });
});

describe('an old guest, and a user without privilege', () => {
  it('lacks what its kernel lacks', async () => {
    const facts = await factsOf(MACHINES.old);
    expect(facts['kernel.version']).toMatchObject({ level: 'weak' });
    expect(facts['kernel.version']?.text).toContain('no RNDRESEEDCRNG');
    expect(facts['kernel.handover']).toMatchObject({ level: 'info', values: { allowed: false } });
    expect(facts['cpu.random']).toMatchObject({ level: 'weak' });
    expect(facts['cpu.random']?.text).toContain('one word again and again');
    expect(facts['machine.kind']).toMatchObject({ values: { virtual: true, container: true } });
    expect(facts['machine.separators']).toMatchObject({ level: 'weak', values: { vmgenid: 'offered' } });
    expect(facts['memory.dumps']).toMatchObject({ level: 'info', values: { limit: 'unlimited' } });
  });

  it.each([
    ['all capabilities, in a namespace of its own', '000001ffffffffff', '0 100000 65536', 'namespace'],
    ['root without CAP_SYS_ADMIN', '00000000a80425fb', '0 0 4294967295', 'no CAP_SYS_ADMIN'],
  ])('with %s may only write', async (_, effective, map, why) => {
    const facts = await factsOf({ ...MACHINES.old, userId: 0 }, (machine) => {
      machine.write('/proc/self/status', `CapEff:\t${effective}\n`);
      machine.write('/proc/self/uid_map', `${map}\n`);
    });
    expect(facts['kernel.handover']).toMatchObject({ level: 'weak', values: { allowed: false } });
    expect(facts['kernel.handover']?.text).toContain(why);
  });
});

describe('an OS RNG that does not work', () => {
  it.each([
    [
      'gives one answer again and again',
      (n: number) => Uint8Array.from({ length: n }, (_, i) => i),
      'again and again',
    ],
    ['gives one byte', (n: number) => new Uint8Array(n).fill(9), 'all its bytes are equal'],
    [
      'gives nothing',
      () => {
        throw new Error('secret');
      },
      'an unexpected error',
    ],
  ])('is broken when it %s', async (_, osRandom, words) => {
    const environment = { ...MACHINES.metal.environment, osRandom };
    const facts = await factsOf({ ...MACHINES.metal, environment });
    expect(facts['kernel.rng']).toMatchObject({ level: 'broken', action: expect.any(String) as unknown });
    expect(facts['kernel.rng']?.text).toContain(words);
    expect(facts['kernel.rng']?.text).not.toContain('secret');
  });
});

describe('clocks', () => {
  it('that are too coarse are weak without a cycle counter', async () => {
    let reads = 0n;
    const coarse = { monotonicNs: () => ((reads += 1n) / 3n) * 15_600_000n };
    const without = { ...coarse, cycleCounter: () => unable('not here') };
    const facts = await factsOf({
      ...MACHINES.metal,
      environment: { ...MACHINES.metal.environment, ...without },
    });
    expect(facts['clock.resolution']).toMatchObject({
      level: 'weak',
      values: { monotonicStepNs: 15_600_000, monotonicLeastNs: 15_600_000 },
    });
    let cycles = 0n;
    const counted = { ...coarse, cycleCounter: () => able((cycles += 26n)) };
    const again = await factsOf({
      ...MACHINES.metal,
      environment: { ...MACHINES.metal.environment, ...counted },
    });
    expect(again['clock.resolution']).toMatchObject({
      level: 'ok',
      values: { cycleStep: 26, cycleLeast: 26 },
    });
  });

  it('that stand still are weak', async () => {
    const still = { monotonicNs: () => 5n, cycleCounter: () => unable('not here') };
    const facts = await factsOf({
      ...MACHINES.metal,
      environment: { ...MACHINES.metal.environment, ...still },
    });
    expect(facts['clock.resolution']).toMatchObject({ level: 'weak', values: { monotonicLeastNs: 0 } });
  });
});

describe('a machine that tells nothing', () => {
  it('is said to tell nothing, and nothing is believed of it', async () => {
    const facts = await factsOf({ files: {}, environment: MACHINES.microvm.environment, userId: 0 });
    expect(facts['machine.kind']).toMatchObject({ values: { virtual: 'unknown' } });
    expect(facts['machine.clones']?.text).toContain('among thousands');
    expect(facts['kernel.version']?.level).toBe('info');
    expect(facts['kernel.handover']?.level).toBe('info');
  });
});
