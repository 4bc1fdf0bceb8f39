import { compareLabels, hkdfExpand, LamplighterError, mix, noSecretKey, type Part } from '@lamplighter/core';
import { loadTlsFiles } from '../identity/tls-files.js';
import type { Environment } from '../local/environment.js';
import { type KernelWrite, writeToKernel } from '../outlets/kernel.js';
import { beaconSource } from '../sources/beacon.js';
import { osSource } from '../sources/os.js';
import { labelOf, round } from '../sources/round.js';
import type { Source } from '../sources/source.js';
import { timingSource } from '../sources/timing.js';
import { basisToWords } from '../wire/basis.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason } from '../wire/status.js';
import type { AgentConfig } from './config.js';

/** What one boot really did. Printed as one line, or as JSON. */
export interface BootReport {
  /** Whether the kernel got the mix. */
  readonly seeded: boolean;
  readonly beacons: number;
  readonly required: number;
  /** Every relay asked: whether its beacon came by the deadline, and why not. */
  readonly relays: readonly { name: string; url: string; answered: boolean; reason?: Reason }[];
  /** Bytes each source put into the mix; 0 for those that had none. */
  readonly sources: Readonly<Record<string, number>>;
  readonly kernel: KernelWrite | { readonly reason: Reason };
  readonly basis: readonly string[];
  /** Whether the TLS connections to the relays drew on a machine seed. */
  readonly hedge: 'off';
  readonly tookMs: number;
}

/** Parts of the boot mix that this build has no source for: encoded as absent, never skipped (DESIGN section 7). */
const ABSENT_LABELS = ['whirlwind', 'cpu'];

/**
 * One boot: beacons from every relay at once, by the deadline; then what only this machine can see; mixed, and handed
 * to the kernel.
 *
 * @throws LamplighterError `fix-configuration`; nothing was done then. A relay that fails is no error: the report says
 *   which, and why
 */
export async function bootOnce(
  config: AgentConfig,
  environment: Environment,
  signal: AbortSignal,
): Promise<BootReport> {
  const startedNs = environment.monotonicNs();
  const tls = await loadTlsFiles(config.tls);
  const relays = config.relays.map(({ name, url, peer }) => ({
    name,
    url,
    source: beaconSource(
      {
        name,
        upstream: {
          url: new URL(url),
          tls,
          roles: ['relay'],
          connect: (endpoint) => environment.connect(endpoint),
          ...(peer === undefined ? {} : { name: peer }),
        },
        deadlineMs: config.deadlineMs,
      },
      environment,
    ),
  }));
  const sources: Source[] = [
    ...relays.map(({ source }) => source),
    timingSource({}, environment),
    osSource({}, environment),
  ];

  const parts = await round(sources, { environment, deadlineMs: config.deadlineMs, signal });
  if (signal.aborted) throw new LamplighterError('ERR_STOPPED', 'stopped before the kernel was seeded');
  const lengths = Object.fromEntries(parts.map(({ label, bytes }) => [label, bytes?.length ?? 0]));
  const answered = new Set(parts.filter(({ bytes }) => bytes !== undefined).map(({ label }) => label));
  const kernel = await seedKernel(environment, config.kernel.device, parts);

  const heard = relays.filter(({ source }) => answered.has(labelOf(source)));
  const report: BootReport = {
    seeded: !('reason' in kernel),
    beacons: heard.length,
    required: config.require,
    relays: relays.map(({ name, url, source }) => {
      const isHeard = answered.has(labelOf(source));
      const reason = isHeard ? undefined : source.status().reason;
      return { name, url, answered: isHeard, ...(reason && { reason }) };
    }),
    sources: lengths,
    kernel,
    basis: basisToWords({
      simulated: heard.some(({ source }) => source.status().basis.simulated),
      degraded: heard.some(({ source }) => source.status().basis.degraded),
      physical: heard.some(({ source }) => source.status().basis.physical),
    }),
    hedge: 'off',
    tookMs: Number((environment.monotonicNs() - startedNs) / 1_000n) / 1_000,
  };
  await Promise.all(sources.map((source) => source.stop()));
  return report;
}

/** R = mix(key, "boot", parts); the kernel gets HKDF-Expand(R, its own label). All of it is wiped afterwards. */
async function seedKernel(
  environment: Environment,
  device: string,
  parts: readonly Part[],
): Promise<BootReport['kernel']> {
  const complete = [...parts, ...ABSENT_LABELS.map((label) => ({ label, bytes: undefined }))].sort((a, b) =>
    compareLabels(a.label, b.label),
  );
  // Until machines have a seed of their own the key is a public salt: the mix extracts, it does not resist steering.
  const root = mix(noSecretKey(), 'boot', complete);
  const bytes = hkdfExpand(root, 'kernel', 64);
  try {
    return await writeToKernel(environment, device, bytes);
  } catch (error) {
    return { reason: reasonOf(error) };
  } finally {
    root.fill(0);
    bytes.fill(0);
    for (const part of parts) part.bytes?.fill(0);
  }
}

/** Exit code of one boot (DESIGN section 10). */
export function exitCodeOf(report: BootReport, strict: boolean): 0 | 1 | 2 {
  if (!report.seeded) return 1;
  if (report.beacons >= report.required) return 0;
  return strict ? 1 : 2;
}
