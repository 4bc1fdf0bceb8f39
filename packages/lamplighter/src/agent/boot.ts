import { hkdfExpand, LamplighterError, mix, noSecretKey, type Part, wipe } from '@lamplighter/core';
import { loadTlsFiles } from '../identity/tls-files.js';
import { CloneDetector } from '../local/clone-detector.js';
import type { Environment } from '../local/environment.js';
import { handToKernel, type KernelReport } from '../local/kernel-rng.js';
import type { NativeDoors } from '../local/native-doors.js';
import type { ProcessEnvironment } from '../local/process-environment.js';
import type { SeedKeeper } from '../local/seed/seed-keeper.js';
import { cpuSource } from '../sources/cpu.js';
import { osSource } from '../sources/os.js';
import { round } from '../sources/round.js';
import type { Source } from '../sources/source.js';
import { timingSource } from '../sources/timing.js';
import { whirlwindSource } from '../sources/whirlwind.js';
import { basisToWords } from '../wire/basis.js';
import type { OutgoingConnections } from '../wire/outgoing.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason } from '../wire/status.js';
import { clockFault, expiryFault } from './clock.js';
import type { AgentConfig } from './config.js';
import { peersOf, type PollenReport, pollenReport, type RelayReport, relayReport } from './peers.js';

/** What one boot or refresh really did. Printed as one line, or as JSON. */
export interface BootReport {
  /** Whether the kernel got the mix. */
  readonly seeded: boolean;
  /** Beacons of relays, and answers of pollen servers that count as much. */
  readonly beacons: number;
  readonly required: number;
  /** Every relay asked: whether its beacon came by the deadline, and why not. */
  readonly relays: readonly RelayReport[];
  /** The same of every pollen server; absent where none is configured. */
  readonly pollen?: readonly PollenReport[];
  /** Bytes each source put into the mix; 0 for those that had none. */
  readonly sources: Readonly<Record<string, number>>;
  readonly kernel: KernelReport | { readonly reason: Reason };
  readonly basis: readonly string[];
  /** Whether the TLS connections to the relays drew on the machine seed, which was rotated first. */
  readonly hedge: 'on' | 'degraded' | 'off';
  readonly hedgeReason?: Reason;
  /** What became of the machine seed: made just now, and why; whether the beacons are in it. */
  readonly seed: { readonly made?: 'missing' | 'lost'; readonly folded: boolean; readonly reason?: Reason };
  /** Whether the clock cannot be right: then no relay was asked. */
  readonly clock?: Reason;
  /** Why it was begun anew: this machine was copied or put aside in the middle of it. */
  readonly copied?: string;
  readonly tookMs: number;
}

/** What a boot does its work with. */
export interface BootDoors {
  readonly environment: Environment;
  readonly native: NativeDoors;
  readonly process: ProcessEnvironment;
  readonly keeper: SeedKeeper;
  readonly outgoing: OutgoingConnections;
}

// Specification constants: DESIGN section 7. R is used through these labels only.
const KERNEL_BYTES = 64;
const OPENSSL_BYTES = 64;
const STREAMS_BYTES = 64;
/** A machine that is copied again and again while it boots goes on with what it has. */
const MAX_ROUNDS = 3;

/**
 * One boot or refresh: the machine seed into this process's OpenSSL; beacons from every relay and pollen server at once, by
 * the deadline; then what only this machine can see; all of it mixed under the seed, and handed to the kernel, to OpenSSL and
 * to whoever else draws here; the beacons folded into the seed.
 *
 * Source: DESIGN section 7.
 * @param options - `requireHedge`: refuse to connect without the hedge; `streams`: gets 64 secret bytes for the streams of an
 *   agent that stays, which it wipes
 * @throws LamplighterError `fix-configuration`: nothing was done then; ERR_HEDGE_OFF and its like with `requireHedge`: nothing
 *   was connected. A relay that fails is no error: the report says which, and why
 */
export async function boot(
  config: AgentConfig,
  doors: BootDoors,
  options: {
    readonly signal: AbortSignal;
    /** The use of the machine seed that this boot rests on, begun already: `keeper.open()`, or `use()` from the second on. */
    readonly use: Promise<Uint8Array | undefined>;
    readonly requireHedge?: boolean;
    readonly streams?: (bytes: Uint8Array) => void;
  },
): Promise<BootReport> {
  const { environment, keeper, native } = doors;
  const startedNs = environment.monotonicNs();
  // A machine that was off for longer than its certificate lives still has its seed and its own sources.
  const tls = await loadTlsFiles(config.tls, { evenIfExpired: true });
  // Before the first TLS context is made: it would draw on what the OS alone gave.
  const mixKey = await options.use;
  const { state: hedge, reason: hedgeFault, made } = keeper.status();
  if (options.requireHedge === true && hedge !== 'on') {
    wipe(mixKey);
    throw hedgeFault ?? new LamplighterError('ERR_HEDGE_OFF', 'the TLS hedge is off');
  }
  const clock = clockFault(tls, keeper.lastChangedMs, environment.realtimeNs());
  const peers = await peersOf(config, tls, hedgeEach(keeper), doors);
  const expired = clock ?? expiryFault(tls, environment.realtimeNs());
  const unaskable = { relay: expired, pollen: clock };
  const outside = peers.filter(({ kind }) => unaskable[kind] === undefined).map(({ source }) => source);

  const { parts, copied } = await askAll(config, outside, doors, options.signal);
  const lengths = Object.fromEntries(parts.map(({ label, bytes }) => [label, bytes?.length ?? 0]));
  const answered = new Set(parts.filter(({ bytes }) => bytes !== undefined).map(({ label }) => label));

  // Without a seed the key is a public salt: the mix extracts, it does not resist steering.
  const root = mix(mixKey ?? noSecretKey(), 'boot', parts);
  wipe(mixKey);
  const kernel = await intoKernel(config, root, doors);
  intoOpenssl(root, native);
  const streams = hkdfExpand(root, 'streams', STREAMS_BYTES);
  if (options.streams === undefined) wipe(streams);
  else options.streams(streams);
  wipe(root);
  const heard = peers.filter(({ label }) => answered.has(label));
  const secret = heard.filter((peer) => peer.isSecret());
  // Whoever held the lock for all of a deadline most likely holds it still.
  const busy = hedgeFault?.code === 'ERR_SEED_BUSY' ? hedgeFault : undefined;
  // What anybody may have read is folded only together with what nobody has.
  const foreign = new Set(peers.map(({ label }) => label));
  const unfolded =
    secret.length === 0
      ? undefined
      : (busy ?? (await keeper.fold(parts.filter(({ label }) => foreign.has(label)))));
  for (const { bytes } of parts) wipe(bytes);

  return {
    seeded: !('reason' in kernel),
    beacons: secret.length,
    required: config.require,
    relays: peers
      .filter(({ kind }) => kind === 'relay')
      .map((peer) => relayReport(peer, answered.has(peer.label), expired)),
    ...(config.pollen.length > 0 && {
      pollen: peers
        .filter(({ kind }) => kind === 'pollen')
        .map((peer) => pollenReport(peer, answered.has(peer.label), clock)),
    }),
    sources: lengths,
    kernel,
    basis: basisToWords({
      simulated: heard.some(({ source }) => source.status().basis.simulated),
      degraded: heard.some(({ source }) => source.status().basis.degraded),
      physical: heard.some(({ source }) => source.status().basis.physical),
    }),
    hedge,
    ...(hedgeFault && { hedgeReason: reasonOf(hedgeFault) }),
    seed: {
      ...(made && { made }),
      folded: secret.length > 0 && unfolded === undefined,
      ...(unfolded && { reason: reasonOf(unfolded) }),
    },
    ...(clock && { clock }),
    ...(copied !== undefined && { copied }),
    tookMs: Number((environment.monotonicNs() - startedNs) / 1_000n) / 1_000,
  };
}

/** Exit code of one boot (DESIGN section 10). */
export function exitCodeOf(report: BootReport, strict: boolean): 0 | 1 | 2 {
  if (!report.seeded) return 1;
  if (report.beacons >= report.required && report.clock === undefined) return 0;
  return strict ? 1 : 2;
}

/** The first connection of a boot has the hedge that was just made; every other one gets its own (one s, one use). */
function hedgeEach(keeper: SeedKeeper): () => Promise<void> {
  let isFresh = true;
  return async () => {
    if (!isFresh) await keeper.hedge();
    isFresh = false;
  };
}

/**
 * Asks everybody, in the order of DESIGN section 5. When this machine turns out to have been copied meanwhile, connections are
 * cut, what was heard is dropped, and it begins anew: the other copy has the same answers.
 */
async function askAll(
  config: AgentConfig,
  outside: readonly Source[],
  { environment, process, outgoing, keeper }: BootDoors,
  signal: AbortSignal,
): Promise<{ parts: readonly Part[]; copied: string | undefined }> {
  const detector = new CloneDetector(environment, process);
  let copied: string | undefined;
  for (let rounds = 1; ; rounds += 1) {
    const sources: Source[] = [
      ...outside,
      whirlwindSource({}, environment),
      timingSource({}, environment),
      cpuSource({}, environment),
      osSource({}, environment),
    ];
    const parts = await round(sources, { environment, deadlineMs: config.deadlineMs, signal });
    await Promise.all(sources.slice(outside.length).map((source) => source.stop()));
    if (signal.aborted) throw new LamplighterError('ERR_STOPPED', 'stopped before the kernel was seeded');
    const sign = detector.look(environment.monotonicNs());
    if (sign === undefined || rounds === MAX_ROUNDS) return { parts, copied };
    copied = sign;
    outgoing.cut();
    for (const { bytes } of parts) wipe(bytes);
    await keeper.hedge();
    detector.settle(sign);
  }
}

async function intoKernel(
  { kernel: { device, creditBits } }: AgentConfig,
  root: Uint8Array,
  { environment, native }: BootDoors,
): Promise<BootReport['kernel']> {
  const bytes = hkdfExpand(root, 'kernel', KERNEL_BYTES);
  try {
    return await handToKernel({ device, creditBits }, bytes, { environment, native });
  } catch (error) {
    return { reason: reasonOf(error) };
  } finally {
    wipe(bytes);
  }
}

/** What this process makes from here on rests on the beacons too. Without the addon the hedge has said so already. */
function intoOpenssl(root: Uint8Array, native: NativeDoors): void {
  const bytes = hkdfExpand(root, 'openssl', OPENSSL_BYTES);
  native.reseedOpenssl(bytes);
  wipe(bytes);
}
