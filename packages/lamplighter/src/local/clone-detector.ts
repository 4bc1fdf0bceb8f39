import type { Environment } from './environment.js';
import type { ProcessEnvironment } from './process-environment.js';
import type { RestoreSign } from './restore-watch.js';

/** What told that this process may be a copy, or was asleep. */
export type CloneSign = 'vm-generation' | 'pid' | 'cycle-counter' | 'clock' | 'resume' | 'host' | RestoreSign;

// Implementation constants.
/** VM generation and real time are read at the first refill after this: no longer than bytes made ahead may live. */
const LOOK_EVERY_NS = 1_000_000n;
/** Boot time is a file, and where there was no VM generation there hardly ever comes one. */
const SLOW_LOOK_EVERY_NS = 1_000_000_000n;
/** Clock steps are caused from outside: DESIGN 6.3. */
const CLOCK_SIGN_EVERY_NS = 1_000_000_000n;
/** NTP slews all three clocks alike, so only steps and sleep part them; boot time is read in steps of 10 ms or so. */
const SLACK_NS = 500_000_000n;

/**
 * Finds signs that the whole state of this process was copied or put aside.
 *
 * Source: DESIGN 6.4. What is asked when:
 * - at every refill: pid, cycle counter and monotonic clock (each must not go backwards);
 * - at the first refill after 1 ms: the VM generation, and real time against monotonic time;
 * - at the first refill after 1 s: boot time (which goes on in sleep) against monotonic time, and whether a VM generation
 *   has appeared where there was none.
 * A sign from a clock or counter can be caused from outside, so it is given at most once a second; it is not forgotten in
 * between, the clocks are compared with how they stood when the last sign was settled.
 */
export class CloneDetector {
  readonly #environment: Environment;
  readonly #process: ProcessEnvironment;
  #pid: number;
  #generation: string | undefined;
  #cycles: bigint | undefined;
  #monotonicNs: bigint;
  /** How the clocks stood to each other when last settled. */
  #settled: Clocks;
  #lookedNs: bigint;
  #slowlyLookedNs: bigint;
  #clockSignNs: bigint | undefined;

  constructor(environment: Environment, process: ProcessEnvironment) {
    this.#environment = environment;
    this.#process = process;
    this.#monotonicNs = environment.monotonicNs();
    this.#lookedNs = this.#monotonicNs;
    this.#slowlyLookedNs = this.#monotonicNs;
    this.#pid = process.pid();
    this.#settled = this.#clocks(this.#monotonicNs);
    this.settle();
  }

  /**
   * Looks for a sign. Cost: 0.1 µs, after 1 ms some 0.3 (and a read of the VM generation, where there is one).
   * @param nowNs - the monotonic clock
   * @returns the surest sign, or undefined; the same sign comes again until `settle`
   */
  look(nowNs: bigint): CloneSign | undefined {
    if (this.#process.pid() !== this.#pid) return 'pid';
    const isSlow = since(this.#slowlyLookedNs, nowNs) >= SLOW_LOOK_EVERY_NS;
    const isLook = isSlow || since(this.#lookedNs, nowNs) >= LOOK_EVERY_NS;
    if (isLook && (isSlow || this.#generation !== undefined) && this.#generationNow() !== this.#generation) {
      return 'vm-generation';
    }
    if (this.#clockSignNs !== undefined && since(this.#clockSignNs, nowNs) < CLOCK_SIGN_EVERY_NS)
      return undefined;
    if (this.#hasCounterGoneBack()) return 'cycle-counter';
    if (nowNs < this.#monotonicNs) return 'clock';
    this.#monotonicNs = nowNs;
    if (!isLook) return undefined;
    if (this.#hasParted('realNs', nowNs, this.#environment.realtimeNs())) return 'clock';
    const boot = isSlow ? this.#process.bootTimeNs() : undefined;
    if (boot?.supported && this.#hasParted('bootNs', nowNs, boot.value)) return 'clock';
    this.#lookedNs = nowNs;
    if (isSlow) this.#slowlyLookedNs = nowNs;
    return undefined;
  }

  /** Takes what is seen now for normal: after the steps that a sign asks for. */
  settle(sign?: CloneSign): void {
    const nowNs = this.#environment.monotonicNs();
    this.#pid = this.#process.pid();
    this.#generation = this.#generationNow();
    this.#cycles = this.#cyclesNow();
    this.#monotonicNs = nowNs;
    this.#settled = this.#clocks(nowNs);
    this.#lookedNs = nowNs;
    this.#slowlyLookedNs = nowNs;
    if (sign === 'clock' || sign === 'cycle-counter') this.#clockSignNs = nowNs;
  }

  #clocks(monotonicNs: bigint): Clocks {
    const boot = this.#process.bootTimeNs();
    return {
      monotonicNs,
      realNs: this.#environment.realtimeNs(),
      bootNs: boot.supported ? boot.value : undefined,
    };
  }

  #generationNow(): string | undefined {
    const generation = this.#environment.vmGeneration();
    return generation.supported ? Buffer.from(generation.value).toString('hex') : undefined;
  }

  #cyclesNow(): bigint | undefined {
    const cycles = this.#environment.cycleCounter();
    return cycles.supported ? cycles.value : undefined;
  }

  #hasCounterGoneBack(): boolean {
    if (this.#cycles === undefined) return false;
    const cycles = this.#cyclesNow();
    if (cycles === undefined) return false;
    if (cycles < this.#cycles) return true;
    this.#cycles = cycles;
    return false;
  }

  #hasParted(clock: 'realNs' | 'bootNs', monotonicNs: bigint, otherNs: bigint): boolean {
    const settledNs = this.#settled[clock];
    if (settledNs === undefined) return false;
    const passedNs = monotonicNs - this.#settled.monotonicNs;
    const apartNs = otherNs - settledNs - passedNs;
    return (apartNs < 0n ? -apartNs : apartNs) > SLACK_NS;
  }
}

interface Clocks {
  readonly monotonicNs: bigint;
  readonly realNs: bigint;
  readonly bootNs: bigint | undefined;
}

/** Unsigned: where the clock went backwards, a very long time has passed. */
const since = (thenNs: bigint, nowNs: bigint): bigint => BigInt.asUintN(64, nowNs - thenNs);
