import type { Command } from 'commander';
import { type AgentFlags, DEFAULT_AGENT_CONFIG, renewNow, runAgent } from './agent-run.js';
import { addSealImageCommand } from './seal-image-command.js';
import { answer } from './terminal.js';

/** `lamplighter agent`, and under it `resume`, `renew` and `seal-image` */
export function addAgentCommand(program: Command): void {
  const agent = program
    .command('agent')
    .description('seed this machine’s kernel from its relays and its own sources, and keep it fresh')
    .option('--config <file>', 'configuration, YAML', DEFAULT_AGENT_CONFIG)
    .option('--once', 'seed once and exit')
    .option('--strict', 'with --once: exit 1, not 2, when fewer beacons came than required')
    .option('--require-hedge', 'make no connection unless TLS draws on a machine seed that was rotated first')
    .option('--json', 'print one JSON object for each boot or refresh instead of a line')
    .addHelpText(
      'after',
      '\nexit codes with --once: 0 kernel seeded with at least the required beacons, 2 with fewer (1 with --strict), 1 failed\n' +
        'SIGUSR2, or `lamplighter agent resume`, says that this machine was restored from a snapshot, cloned or asleep.',
    )
    .action(runAgent);

  agent
    .command('resume')
    .description('tell the agent that runs here that this machine was restored, cloned or asleep')
    .action(async () => {
      const [{ residentAgent }, { loadAgentConfig }, { systemEnvironment }] = await Promise.all([
        import('../agent/report-file.js'),
        import('../agent/config-file.js'),
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

  agent
    .command('renew')
    .description('renew this machine’s certificate now, whether or not it is time')
    .action(async () => {
      const { config, requireHedge } = agent.opts<AgentFlags>();
      await renewNow(config, requireHedge === true);
    });

  addSealImageCommand(agent);
}
