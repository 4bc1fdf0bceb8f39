import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { SealedPlace } from '../agent/seal-image-plan.js';
import type { SealReport } from '../agent/seal-image.js';
import type { Environment } from '../local/environment.js';
import { isThere } from '../local/is-there.js';
import type { AgentFlags } from './agent-run.js';
import { answer, say } from './terminal.js';

const USUAL_NODE_CONFIG = '/etc/lamplighter/node.yaml';

interface Flags {
  readonly nodeConfig?: string;
  readonly yes?: true;
}

/** `lamplighter agent seal-image` */
export function addSealImageCommand(agent: Command): void {
  agent
    .command('seal-image')
    .description('remove what no two machines may share, before an image is made of this one')
    .option('--node-config <file>', `of a node on this machine; ${USUAL_NODE_CONFIG} if it is there`)
    .option('--yes', 'do it; without it, say what would be done')
    .addHelpText(
      'after',
      '\nEvery copy then has to enrol by itself. Secrets are overwritten before they are removed, which an SSD, a journal, a\n' +
        'snapshot, a copy-on-write file system or a backup can undo: the surest image is of a machine that was never enrolled.',
    )
    .action(async ({ nodeConfig, yes }: Flags) => {
      const [{ sealImage }, { elsewhere }, { systemEnvironment }, { systemNative }] = await Promise.all([
        import('../agent/seal-image.js'),
        import('../agent/seal-image-elsewhere.js'),
        import('../local/environment.js'),
        import('../local/native-doors.js'),
      ]);
      const environment = systemEnvironment();
      const isUsual = agent.getOptionValueSource('config') === 'default';
      const places = [
        await agentPlace(agent.opts<AgentFlags>().config, isUsual, environment),
        ...(await nodePlaces(nodeConfig, environment)),
      ];
      const dryRun = yes !== true;
      const report = await sealImage(places, { environment, native: systemNative }, { dryRun });
      describe(report, dryRun);
      for (const { path, why } of await elsewhere(environment)) answer(`not ours ${path}: ${why}`);
      if (dryRun) {
        const { LamplighterError } = await import('@lamplighter/core');
        throw new LamplighterError('ERR_USAGE', 'nothing was removed', { hint: 'add --yes to do it' });
      }
      answer('sealed: every copy has to enrol; start nothing of Lamplighter before the image is made');
      say(
        'lamplighter: overwritten means by this file system; an SSD, journal, snapshot or backup may still hold what was there',
      );
    });
}

function describe({ removed, remaining }: SealReport, dryRun: boolean): void {
  const verb = dryRun ? 'would remove' : 'removed';
  for (const { path, what, isSecret, flaw } of removed) {
    const how = isSecret ? (flaw ?? (dryRun ? 'overwriting it first' : 'overwritten first')) : 'no secret';
    answer(`${verb} ${path}: ${what}; ${how}`);
  }
  if (removed.length === 0) answer('nothing to remove');
  for (const { path, why, is } of remaining)
    answer(`${is === 'fine' ? 'remains' : 'LOOK AT'} ${path}: ${why}`);
}

async function agentPlace(file: string, isUsual: boolean, environment: Environment): Promise<SealedPlace> {
  const { DEFAULT_STATE } = await import('../agent/enroll-options.js');
  const config = resolve(file);
  if (isUsual && !(await isThere(environment, file))) {
    const ca = resolve(dirname(config), 'ca.pem');
    return { kind: 'agent', config, state: DEFAULT_STATE, identities: [], trust: [ca] };
  }
  const { loadAgentConfig } = await import('../agent/config-file.js');
  const { tls, state, report } = await loadAgentConfig(environment, file);
  return { kind: 'agent', config, state, report, identities: [tls], trust: [tls.ca] };
}

async function nodePlaces(
  file: string | undefined,
  environment: Environment,
): Promise<readonly SealedPlace[]> {
  if (file === undefined && !(await isThere(environment, USUAL_NODE_CONFIG))) return [];
  const { loadNodeConfig } = await import('../node/config.js');
  const config = resolve(file ?? USUAL_NODE_CONFIG);
  const { state, tls, admin, outlets, audit, authority } = await loadNodeConfig(environment, config);
  const own = outlets.flatMap((outlet) => (outlet.kind === 'pollen' && outlet.https ? [outlet.https] : []));
  const identities = [tls, admin.tls, ...own].flatMap((one) =>
    one?.key === undefined || one.cert === undefined ? [] : [{ key: one.key, cert: one.cert }],
  );
  return [
    {
      kind: 'node',
      config,
      state,
      identities,
      trust: tls === undefined ? [] : [tls.ca],
      ...(audit && { audit: audit.folder }),
      ...(authority?.folder !== undefined && { authority: authority.folder }),
    },
  ];
}
