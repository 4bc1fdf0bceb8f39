import type { Command } from 'commander';
import type { BootReport } from '../agent/boot.js';
import { answer, explain, say, stopped, untilStopped } from './terminal.js';

interface AgentFlags {
  config: string;
  once?: true;
  strict?: true;
  requireHedge?: true;
  json?: true;
}

/** `lamplighter agent` and `lamplighter agent resume` */
export function addAgentCommand(program: Command): void {
  const agent = program
    .command('agent')
    .description('seed this machine’s kernel from its relays and its own sources, and keep it fresh')
    .option('--config <file>', 'configuration, YAML', '/etc/lamplighter/agent.yaml')
    .option('--once', 'seed once and exit')
    .option('--strict', 'with --once: exit 1, not 2, when fewer beacons came than required')
    .option('--require-hedge', 'make no connection unless TLS draws on a machine seed that was rotated first')
    .option('--json', 'print one JSON object for each boot or refresh instead of a line')
    .addHelpText(
      'after',
      '\nexit codes with --once: 0 kernel seeded with at least the required beacons, 2 with fewer (1 with --strict), 1 failed\n' +
        'SIGUSR2, or `lamplighter agent resume`, says that this machine was restored from a snapshot, cloned or asleep.',
    )
    .action(run);

  agent
    .command('resume')
    .description('tell the agent that runs here that this machine was restored, cloned or asleep')
    .action(async () => {
      const [{ residentAgent }, { loadAgentConfig }, { systemEnvironment }] = await Promise.all([
        import('../agent/report-file.js'),
        import('../agent/config.js'),
        import('../local/environment.js'),
      ]);
      const environment = systemEnvironment();
      const { config: file } = agent.opts<AgentFlags>();
      const config = await loadAgentConfig(environment, file);
      const pid = await residentAgent(environment, config.report);
      try {
        process.kill(pid, 'SIGUSR2');
      } catch (cause) {
        const { LamplighterError } = await import('@lamplighter/core');
        throw new LamplighterError('ERR_AGENT_ABSENT', `the agent, process ${pid}, cannot be told`, {
          hint: 'start one with `lamplighter agent`, or run this as the user it runs as',
          cause,
        });
      }
      answer(`told the agent, process ${pid}`);
    });
}

async function run(flags: AgentFlags): Promise<void> {
  // Node would open its debugger at SIGUSR1.
  process.on('SIGUSR1', () => undefined);
  const [{ loadAgentConfig }, { systemEnvironment }, { SeedKeeper }, { systemNative }, { systemProcess }] =
    await Promise.all([
      import('../agent/config.js'),
      import('../local/environment.js'),
      import('../local/seed/seed-keeper.js'),
      import('../local/native-doors.js'),
      import('../local/process-environment.js'),
    ]);
  const environment = systemEnvironment();
  const config = await loadAgentConfig(environment, flags.config);
  const doors = { environment, native: systemNative, process: systemProcess() };
  const keeper = new SeedKeeper(config.state, doors);
  const tell = (report: BootReport, exitCode?: number): void => {
    if (flags.json) answer(JSON.stringify(exitCode === undefined ? report : { ...report, exitCode }));
    else describe(report);
  };

  if (flags.once) {
    const [{ boot, exitCodeOf }, { OutgoingConnections }, { writeReport }] = await Promise.all([
      import('../agent/boot.js'),
      import('../wire/outgoing.js'),
      import('../agent/report-file.js'),
    ]);
    const outgoing = new OutgoingConnections(environment, () => undefined);
    const report = await boot(
      config,
      { ...doors, keeper, outgoing },
      { signal: untilStopped(), isFirst: true, requireHedge: flags.requireHedge === true },
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
