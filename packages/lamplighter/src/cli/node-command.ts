import type { Command } from 'commander';
import { NODE_SIGNALS, runNode } from './node-run.js';

/** `lamplighter node --config FILE` */
export function addNodeCommand(program: Command): void {
  program
    .command('node')
    .description('run a node: an office, a relay or a VM host, as its configuration says')
    .requiredOption('--config <file>', 'configuration, YAML')
    .addHelpText('after', NODE_SIGNALS)
    .action(async ({ config: file }: { config: string }) => {
      const { loadNodeConfig } = await import('../node/config.js');
      await runNode({ file, load: (environment) => loadNodeConfig(environment, file) });
    });
}
