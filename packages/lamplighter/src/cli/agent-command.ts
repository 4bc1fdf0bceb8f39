import type { Command } from 'commander';
import type { BootReport } from '../agent/boot.js';
import { answer, say, untilStopped } from './terminal.js';

/** `lamplighter agent --once --config FILE` */
export function addAgentCommand(program: Command): void {
  program
    .command('agent')
    .description('seed this machine’s kernel from its relays and its own sources')
    .requiredOption('--config <file>', 'configuration, YAML')
    .requiredOption('--once', 'seed once and exit')
    .option('--strict', 'exit 1, not 2, when fewer beacons came than required')
    .option('--json', 'print one JSON object instead of a line')
    .addHelpText(
      'after',
      '\nexit codes: 0 kernel seeded with at least the required beacons, 2 with fewer (1 with --strict), 1 failed',
    )
    .action(async (options: { config: string; strict?: true; json?: true }) => {
      const [{ bootOnce, exitCodeOf }, { loadAgentConfig }, { systemEnvironment }] = await Promise.all([
        import('../agent/boot.js'),
        import('../agent/config.js'),
        import('../local/environment.js'),
      ]);
      const environment = systemEnvironment();
      const config = await loadAgentConfig(environment, options.config);
      const report = await bootOnce(config, environment, untilStopped());
      const exitCode = exitCodeOf(report, options.strict === true);
      if (options.json) answer(JSON.stringify({ ...report, exitCode }));
      else describe(report);
      process.exitCode = exitCode;
    });
}

function describe(report: BootReport): void {
  for (const { name, answered, reason } of report.relays) {
    if (answered) continue;
    say(`lamplighter: relay ${name}: ${reason?.message ?? 'no answer'} [${reason?.code ?? 'ERR_DEADLINE'}]`);
    if (reason?.hint !== undefined) say(`hint: ${reason.hint}`);
  }
  const sources = Object.entries(report.sources)
    .filter(([, bytes]) => bytes > 0)
    .map(([label]) => label)
    .join(', ');
  const basis = report.basis.length === 0 ? 'nothing claimed' : report.basis.join(', ');
  const { kernel } = report;
  if ('reason' in kernel) {
    say(`lamplighter: the kernel was not seeded: ${kernel.reason.message} [${kernel.reason.code}]`);
    if (kernel.reason.hint !== undefined) say(`hint: ${kernel.reason.hint}`);
    return;
  }
  answer(
    `${kernel.bytesWritten} bytes from ${sources} written to ${kernel.device}: mixed in, ${kernel.creditedBits} bits credited, ` +
      `in effect at the kernel's next reseed; ${report.beacons} of ${report.required} required beacons; ` +
      `basis: ${basis}; tls hedge: ${report.hedge}; ${Math.round(report.tookMs)} ms`,
  );
}
