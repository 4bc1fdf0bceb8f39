import type { Command } from 'commander';
import { answer } from './terminal.js';

/** `lamplighter config check FILE` and `lamplighter config schema` */
export function addConfigCommand(program: Command): void {
  const config = program.command('config').description('check a configuration, or print what one may hold');

  config
    .command('check')
    .description('validate a configuration and the certificates it names; touches nothing')
    .argument('<file>', 'configuration, YAML')
    .option('--agent', 'it is an agent’s configuration')
    .action(async (file: string, options: { agent?: true }) => {
      const [{ systemEnvironment }, { loadTlsFiles }] = await Promise.all([
        import('../local/environment.js'),
        import('../identity/tls-files.js'),
      ]);
      const environment = systemEnvironment();
      const { tls } = options.agent
        ? await (await import('../agent/config-file.js')).loadAgentConfig(environment, file)
        : await (await import('../node/config.js')).loadNodeConfig(environment, file);
      if (tls !== undefined) await loadTlsFiles(tls);
      answer(`${file}: good`);
    });

  config
    .command('schema')
    .description('print the JSON Schema of a configuration')
    .option('--agent', 'of an agent’s configuration')
    .action(async (options: { agent?: true }) => {
      const { z } = await import('zod');
      const schema = options.agent
        ? (await import('../agent/config.js')).agentConfig
        : (await import('../node/config.js')).nodeConfig;
      answer(JSON.stringify(z.toJSONSchema(schema, { io: 'input' }), null, 2));
    });
}
