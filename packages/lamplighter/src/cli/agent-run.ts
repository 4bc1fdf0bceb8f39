import { loadAgentConfig } from '../agent/config-file.js';
import type { BootReport } from '../agent/boot.js';
import type { RenewalReport } from '../agent/renewal.js';
import { systemEnvironment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { systemProcess } from '../local/process-environment.js';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import { during } from './progress.js';
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
    const signal = untilStopped();
    const requireHedge = flags.requireHedge === true;
    const booting = boot(config, { ...doors, keeper, outgoing }, { signal, use, requireHedge });
    const report = await during('asking the relays', booting);
    const unwritten = await writeReport(environment, config.report, { resident: false, last: report });
    if (unwritten !== undefined) explain(unwritten);
    const exitCode = exitCodeOf(report, flags.strict === true);
    tell(report, exitCode);
    process.exitCode = exitCode;
    // The boot is done and told: whatever becomes of the certificate changes nothing of that.
    if (!report.seeded || report.clock !== undefined) return;
    const { renewIfDue } = await import('../agent/renewal.js');
    try {
      const renewing = renewIfDue(config, { environment, keeper, outgoing }, { signal, requireHedge });
      const renewal = await during('renewing the certificate', renewing);
      if (!renewal.renewed && renewal.reason === undefined) return;
      describeRenewal(renewal);
      const unnoted = await writeReport(environment, config.report, {
        resident: false,
        last: report,
        renewal,
      });
      if (unnoted !== undefined) explain(unnoted);
    } catch (error) {
      explain(error);
    }
    return;
  }

  const { Agent } = await import('../agent/agent.js');
  const stopping = untilStopped();
  let last: BootReport | undefined;
  // Loaded only where there is somebody to tell: a boot waits behind this file.
  const service =
    process.env['NOTIFY_SOCKET'] === undefined
      ? undefined
      : (await import('../local/service-notify.js')).serviceNotifier({
          environment,
          variables: process.env,
          pid: process.pid,
          describe: () => (last === undefined ? 'the first boot is under way' : briefly(last)),
          onFault: (error) => void explain(error),
        });
  const agent = new Agent(config, {
    ...doors,
    keeper,
    requireHedge: flags.requireHedge === true,
    onReport: (report) => {
      last = report;
      tell(report);
    },
    onRenewal: describeRenewal,
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
  stopping.addEventListener(
    'abort',
    () => {
      service?.stopping();
      void agent.stop();
    },
    { once: true },
  );
  try {
    await agent.start();
    service?.ready();
    await stopped(stopping);
    await agent.stop();
  } finally {
    await service?.stop();
  }
}

/** A boot in one line, for `systemctl status`. */
const briefly = ({ seeded, beacons, required }: BootReport): string =>
  `kernel ${seeded ? '' : 'not '}seeded; ${beacons} of ${required} required beacons`;

/** Who is asked by hand may take longer than a boot waits. */
const RENEW_DEADLINE_MS = 30_000;

/**
 * Renews the certificate now. An agent that runs uses the new one from its next refresh on.
 * @param file - the agent's configuration
 * @throws LamplighterError when it was not renewed
 */
export async function renewNow(file: string, requireHedge: boolean): Promise<void> {
  systemNative.disableCoreDumps();
  const environment = systemEnvironment();
  const config = await loadAgentConfig(environment, file);
  const [{ LamplighterError, wipe }, { OutgoingConnections }, { renewIfDue }] = await Promise.all([
    import('@lamplighter/core'),
    import('../wire/outgoing.js'),
    import('../agent/renewal.js'),
  ]);
  const keeper = new SeedKeeper(config.state, {
    environment,
    native: systemNative,
    process: systemProcess(),
  });
  // The new key is drawn from what the seed has gone into.
  wipe(await keeper.open());
  const outgoing = new OutgoingConnections(environment, () => undefined);
  const options = { signal: untilStopped(), force: true, deadlineMs: RENEW_DEADLINE_MS, requireHedge };
  const renewing = renewIfDue(config, { environment, keeper, outgoing }, options);
  const report = await during('renewing the certificate', renewing);
  const { role, name, by, notAfter, renewsAt, reason } = report;
  const due = renewsAt === undefined ? '' : `, due again on ${renewsAt}`;
  if (reason !== undefined) {
    const { code, message, hint } = reason;
    throw new LamplighterError(code, `not renewed: ${message}`, hint === undefined ? {} : { hint });
  }
  answer(`${role} ${name}: renewed by ${by ?? 'somebody'}, ends on ${notAfter}${due}`);
}

/** Says on standard error what became of the certificate: standard output is for boots. */
function describeRenewal({ role, name, renewed, by, notAfter, reason }: RenewalReport): void {
  if (renewed) {
    say(
      `lamplighter: the certificate of ${role} ${name} was renewed by ${by ?? 'somebody'}: it ends on ${notAfter}`,
    );
  } else if (reason !== undefined) {
    say(
      `lamplighter: WARNING: the certificate of ${role} ${name}, which ends on ${notAfter}, was not renewed: ` +
        `${reason.message} [${reason.code}]`,
    );
    if (reason.hint !== undefined) say(`hint: ${reason.hint}`);
  } else {
    say(`lamplighter: the certificate of ${role} ${name} was replaced: it ends on ${notAfter}`);
  }
}

function describe(report: BootReport): void {
  for (const { name, answered, reason } of report.relays) {
    if (answered) continue;
    say(`lamplighter: relay ${name}: ${reason?.message ?? 'no answer'} [${reason?.code ?? 'ERR_DEADLINE'}]`);
    if (reason?.hint !== undefined) say(`hint: ${reason.hint}`);
  }
  for (const { name, reason } of report.pollen ?? []) {
    if (reason === undefined) continue;
    say(`lamplighter: pollen server ${name}: ${reason.message} [${reason.code}]`);
    if (reason.hint !== undefined) say(`hint: ${reason.hint}`);
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
