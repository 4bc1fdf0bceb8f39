import type { Environment } from '../local/environment.js';
import { ClockGrain } from '../sources/clock-grain.js';
import { type CpuInfo, cpuInfo } from './cpu-info.js';
import { GET_ADDON } from './addon-facts.js';
import type { Fact } from './fact.js';
import { textOf } from './machine-files.js';
import type { Subject } from './subject.js';

const SAMPLE_BYTES = 32;
/** Four windows of {@link ClockGrain}. Some 20 µs. */
const MOMENTS = 257;
/** A clock that moves by no less sees nothing of what a CPU does in between. */
const COARSE_STEP_NS = 1_000;

/** What the CPU itself gives: random numbers, and a counter to tell moments apart. */
export async function cpuFacts({ environment, native }: Subject): Promise<readonly Fact[]> {
  const info = await cpuInfo(environment);
  return [
    randomFact(environment, info, native.available().supported),
    await cycleFact(environment, info),
    resolutionFact(environment),
  ];
}

function randomFact(environment: Environment, info: CpuInfo | undefined, hasAddon: boolean): Fact {
  const id = 'cpu.random';
  // arm64 has one flag for RNDRRS and RNDR, which are its RDSEED and RDRAND.
  const rdseed = has(info, 'rdseed', 'rng');
  const rdrand = has(info, 'rdrand', 'rng');
  const startedNs = environment.monotonicNs();
  const drawn = environment.cpuRandom(SAMPLE_BYTES, 'seed');
  const tookMs = Number((environment.monotonicNs() - startedNs) / 1_000n) / 1_000;
  const values = { rdseed, rdrand, works: drawn.supported };
  if (drawn.supported) {
    drawn.value.fill(0);
    const shown = [...(rdseed ? ['RDSEED'] : []), ...(rdrand ? ['RDRAND'] : [])].join(' and ');
    const text = `gives ${SAMPLE_BYTES} bytes in ${tookMs.toFixed(2)} ms; the kernel shows ${shown || 'none'}`;
    return { id, level: 'ok', text, values: { ...values, tookMs } };
  }
  if (!rdseed && !rdrand) {
    return { id, level: 'info', text: 'this CPU has no random instruction, or none it shows', values };
  }
  if (!hasAddon) {
    return { id, level: 'info', text: 'the CPU has it, but only the native addon can ask', values };
  }
  return {
    id,
    level: 'weak',
    text: `the CPU has it, but it does not work: ${drawn.reason}`,
    values,
    action:
      'Update this machine’s firmware and microcode: `apt-get install amd64-microcode intel-microcode`.',
  };
}

async function cycleFact(environment: Environment, info: CpuInfo | undefined): Promise<Fact> {
  const id = 'cpu.cycles';
  const counter = environment.cycleCounter();
  const clocksource = await textOf(
    environment,
    '/sys/devices/system/clocksource/clocksource0/current_clocksource',
  );
  const constant = has(info, 'constant_tsc');
  const nonstop = has(info, 'nonstop_tsc');
  const values = {
    readable: counter.supported,
    constant,
    nonstop,
    ...(clocksource !== undefined && { clocksource }),
  };
  const clock = clocksource === undefined ? '' : `; the kernel’s clock is ${clocksource}`;
  if (!counter.supported) {
    return { id, level: 'info', text: `cannot be read: ${counter.reason}${clock}`, values };
  }
  const isArm = info !== undefined && has(info, 'asimd');
  const steady =
    constant && nonstop
      ? 'constant, never stops'
      : isArm
        ? 'the virtual counter, always constant'
        : 'not invariant: it may part from time, or stop in sleep';
  return { id, level: 'ok', text: `readable, ${steady}${clock}`, values };
}

function resolutionFact(environment: Environment): Fact {
  const id = 'clock.resolution';
  const monotonic = grainOf(() => environment.monotonicNs());
  const counter = environment.cycleCounter();
  const cycles = counter.supported
    ? grainOf(() => {
        const now = environment.cycleCounter();
        return now.supported ? now.value : 0n;
      })
    : undefined;
  const values = {
    monotonicStepNs: monotonic.step,
    monotonicLeastNs: monotonic.least,
    ...(cycles && { cycleStep: cycles.step, cycleLeast: cycles.least }),
  };
  const counts =
    cycles === undefined ? '' : `; cycle counter: steps of ${cycles.step}, at least ${cycles.least} apart`;
  const text = `monotonic clock: steps of ${monotonic.step} ns, at least ${monotonic.least} ns apart${counts}`;
  const isCoarse = monotonic.least === 0 || monotonic.step >= COARSE_STEP_NS;
  if (cycles !== undefined || !isCoarse) return { id, level: 'ok', text, values };
  return {
    id,
    level: 'weak',
    text: `${text}: too coarse to hear anything by`,
    values,
    action: GET_ADDON,
  };
}

/**
 * How fine a clock is.
 * @returns its step, and the least that two moments read after each other differ by; 0 when it did not move
 */
function grainOf(now: () => bigint): { readonly step: number; readonly least: number } {
  const grain = new ClockGrain();
  let least = 0;
  let before = now();
  grain.note(before);
  for (let moments = 1; moments < MOMENTS; moments += 1) {
    const moment = now();
    grain.note(moment);
    const difference = Number(moment - before);
    if (difference > 0 && (least === 0 || difference < least)) least = difference;
    before = moment;
  }
  return { step: grain.step, least };
}

const has = (info: CpuInfo | undefined, ...flags: readonly string[]): boolean =>
  flags.some((flag) => info?.flags.has(flag) === true);
