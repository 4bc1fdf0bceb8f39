import type { Environment } from '../local/environment.js';
import type { NodeConfig } from '../node/config.js';
import type { Log } from '../node/log.js';
import { reasonOf } from '../wire/reason.js';
import type { NodeStatus } from '../wire/status.js';
import { stopped, untilStopped } from './terminal.js';

/** What distinguishes one command that runs a node from another. */
export interface NodeRun {
  /** Where the configuration comes from, for the status. */
  readonly file: string;
  /** Reads it: at the start and at SIGHUP. @throws LamplighterError */
  readonly load: (environment: Environment) => Promise<NodeConfig>;
  /** Anything to be done before the node opens its sockets. */
  readonly prepare?: (config: NodeConfig, environment: Environment, log: Log) => Promise<void>;
}

/** What every command that runs a node says in its help. */
export const NODE_SIGNALS = `
SIGHUP reloads configuration and certificates; when the new one is not valid the old one stays.
SIGUSR2 says that this machine was restored from a snapshot, cloned or asleep, where nothing else tells.
Logs go to standard error, one JSON object a line.`;

/**
 * Runs a node until SIGINT or SIGTERM.
 * @throws LamplighterError when it cannot start
 */
export async function runNode({ file, load, prepare }: NodeRun): Promise<void> {
  const [{ openLog }, { Node }, { systemEnvironment }, { systemNative }, { serviceNotifier }] =
    await Promise.all([
      import('../node/log.js'),
      import('../node/node.js'),
      import('../local/environment.js'),
      import('../local/native-doors.js'),
      import('../local/service-notify.js'),
    ]);
  const environment = systemEnvironment();
  const config = await load(environment);
  const log = openLog(config.log.level, config.name);
  const stopping = untilStopped();
  const node = new Node(config, { environment, log, file });

  const service = serviceNotifier({
    environment,
    variables: process.env,
    pid: process.pid,
    describe: () => describe(node.status()),
    onFault: (error) => log.warn({ reason: reasonOf(error) }, 'the service manager is not told'),
  });

  process.on('SIGHUP', () => {
    // The node tells what became of it.
    service.reloading(node.reload(() => load(environment)).catch(() => undefined));
  });
  // A core dump would hold keys and pools. Without the addon the limits of the service have to do.
  systemNative.disableCoreDumps();
  // Node would open its debugger at SIGUSR1.
  process.on('SIGUSR1', () => undefined);
  process.on('SIGUSR2', () => {
    try {
      node.resume();
    } catch (error) {
      log.warn({ reason: reasonOf(error) }, 'nothing to resume');
    }
  });
  try {
    await prepare?.(config, environment, log);
    await node.start();
    node.ready().then(
      () => service.ready(),
      () => undefined,
    );
    await stopped(stopping);
    log.info('stopping');
    service.stopping();
    await node.stop();
    log.info('stopped');
  } finally {
    await service.stop();
  }
}

/** A node in one line, for `systemctl status`. */
function describe({ state, reasons, basis, configuration }: NodeStatus): string {
  const why = reasons.map(({ message }) => message).join('; ');
  const rests = basis.length > 0 ? `; basis: ${basis.join(', ')}` : '';
  const old = configuration.reloadError === undefined ? '' : '; the new configuration is not followed';
  return `${state}${why === '' ? '' : `: ${why}`}${rests}${old}`;
}
