import { loadAgentConfig } from '../agent/config-file.js';
import type { BootReport } from '../agent/boot.js';
import { systemEnvironment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { systemProcess } from '../local/process-environment.js';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import { answer, explain, say, stopped, untilStopped } from './terminal.js';

/** What `lamplighter agent` can be told. */
export interface AgentFlags {
  config: string;
  once?: boolean;
  strict?: boolean;
  requireHedge?: boolean;
  json?: boolean;
}

export const DEFAULT_AGENT_CONFIG = '/etc/lamplighter/agent.yaml';

/** Runs an agent: once, or until it is told to stop. */
export async function runAgent(flags: AgentFlags): Promise<void> {
  // A core dump would hold the seed. Without the addon the limits of the service have to do: the doctor says which.
  systemNative.disableCoreDumps();
  // Node would open its debugger at SIGUSR1.
  process.on('SIGUSR1', () => undefined);
  const environment = systemEnvironment();
  const config = await loadAgentConfig(environment, flags.config);
  const doors = { environment, native: systemNative, process: systemProcess() };
  const keeper = new SeedKeeper(config.state, doors);
  const tell = (report: BootReport, exitCode?: number): void => {
    if (flags.json) answer(JSON.stringify(exitCode === undefined ? report : { ...report, exitCode }));
    else describe(report);
  };

  if (flags.once) {
    // The disk makes the seed durable while TLS and HTTP are loaded.
    const use = keeper.open();
    const [{ boot, exitCodeOf }, { OutgoingConnections }, { writeReport }] = await Promise.all([
      import('../agent/boot.js'),
      import('../wire/outgoing.js'),
      import('../agent/report-file.js'),
    ]);
    const outgoing = new OutgoingConnections(environment, () => undefined);
    const report = await boot(
      config,
      { ...doors, keeper, outgoing },
      { signal: untilStopped(), use, requireHedge: flags.requireHedge === true },
    );
    const unwritten = await writeReport(environment, config.report, { resident: false, last: report });
    if (unwritten !== undefined) explain(unwritten);
    const exitCode = exitCodeOf(report, flags.strict === true);
    tell(report, exitCode);
    process.exitCode = exitCode;
    return;
  }

  const { Agent } = await import('../agent/agent.js');
  const stopping = untilStopped();
  const agent = new Agent(config, {
    ...doors,
    keeper,
    requireHedge: flags.requireHedge === true,
    onReport: (report) => tell(report),
    onFault: (error) => void explain(error),
    onResume: ({ sign, os, undone }) => {
      say(`lamplighter: this machine was cloned, restored or asleep (${sign}); the OS RNG: ${os}`);
      for (const { step, reason } of undone) say(`lamplighter: not done then: ${step}: ${reason}`);
    },
  });
  process.on('SIGUSR2', () => {
    try {
      agent.resume();
    } catch (error) {
      explain(error);
    }
  });
  stopping.addEventListener('abort', () => void agent.stop(), { once: true });
  await agent.start();
  await stopped(stopping);
  await agent.stop();
}

function describe(report: BootReport): void {
  for (const { name, answered, reason } of report.relays) {
    if (answered) continue;
    say(`lamplighter: relay ${name}: ${reason?.message ?? 'no answer'} [${reason?.code ?? 'ERR_DEADLINE'}]`);
    if (reason?.hint !== undefined) say(`hint: ${reason.hint}`);
  }
  const { hedge, hedgeReason, seed, kernel } = report;
  if (seed.made !== undefined) {
    say(
      seed.made === 'missing'
        ? 'lamplighter: this machine had no seed: one was made'
        : 'lamplighter: the machine seed was lost: another was made; enrol this machine again',
    );
  }
  if (hedgeReason !== undefined) {
    say(`lamplighter: WARNING: the tls hedge is ${hedge}: ${hedgeReason.message} [${hedgeReason.code}]`);
    if (hedgeReason.hint !== undefined) say(`hint: ${hedgeReason.hint}`);
  }
  if (seed.reason !== undefined) say(`lamplighter: the beacons are not in the seed: ${seed.reason.message}`);
  if ('reason' in kernel) {
    say(`lamplighter: the kernel was not seeded: ${kernel.reason.message} [${kernel.reason.code}]`);
    if (kernel.reason.hint !== undefined) say(`hint: ${kernel.reason.hint}`);
    return;
  }
  const sources = Object.entries(report.sources)
    .filter(([, bytes]) => bytes > 0)
    .map(([label]) => label)
    .join(', ');
  const basis = report.basis.length === 0 ? 'nothing claimed' : report.basis.join(', ');
  const effect = kernel.reseeded ? 'in effect now' : "in effect at the kernel's next reseed";
  answer(
    `${kernel.bytesWritten} bytes from ${sources} written to ${kernel.device}: mixed in, ${kernel.creditedBits} bits credited, ` +
      `${effect}; ${report.beacons} of ${report.required} required beacons; ` +
      `basis: ${basis}; tls hedge: ${report.hedge}; ${Math.round(report.tookMs)} ms`,
  );
}
