import type { Command } from 'commander';
import { answer, say } from './terminal.js';

interface LinkOptions {
  config: string;
  ttl: string;
}

/** `lamplighter dashboard link` */
export function addDashboardCommand(program: Command): void {
  const dashboard = program
    .command('dashboard')
    .description('a node’s page: what it hears, mixes and gives, as it happens');

  dashboard
    .command('link')
    .description('print an address that logs one browser in, once; run it as the node’s user, or as root')
    .requiredOption('--config <file>', 'the configuration of a running node, YAML')
    .option('--ttl <time>', 'how long it can be used, up to 1h', '10m')
    .addHelpText(
      'after',
      '\nOn loopback everybody may look without it; drawing values and lending a camera need it everywhere.',
    )
    .action(link);
}

async function link({ config: file, ttl }: LinkOptions): Promise<void> {
  const [{ LamplighterError }, { parseLife }, { systemEnvironment }, { loadNodeConfig }, links] =
    await Promise.all([
      import('@lamplighter/core'),
      import('../identity/life.js'),
      import('../local/environment.js'),
      import('../node/config.js'),
      import('../node/admin/login-links.js'),
    ]);
  const ttlMs = parseLife(ttl);
  if (ttlMs > links.LINK_LIMITS.ttlMs) {
    throw new LamplighterError('ERR_USAGE', '--ttl is at most 1h', {
      hint: 'a link is a secret: make it when it is needed',
    });
  }
  const { state } = await loadNodeConfig(systemEnvironment(), file);
  const { url, expiresAtMs } = await new links.LoginLinks(state).create(ttlMs, Date.now());
  say(`for one browser, once, until ${new Date(expiresAtMs).toISOString()}`);
  answer(url.href);
}
