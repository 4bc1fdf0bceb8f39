import { setTimeout as pause } from 'node:timers/promises';
import { LamplighterError } from '@lamplighter/core';
import type { Command } from 'commander';
import type { StatusPlace } from '../wire/status-client.js';
import type { NodeStatus } from '../wire/status.js';
import { painter, widthOf } from './display.js';
import { integer, nodeUrl } from './option-parsers.js';
import { during } from './progress.js';
import { answer, untilStopped } from './terminal.js';

interface StatusFlags {
  url?: URL;
  config?: string;
  watch?: true;
  every?: number;
  json?: true;
  cert?: string;
  key?: string;
  ca?: string;
  peer?: string;
}

/** Where a node listens unless its configuration says otherwise. */
const DEFAULT_URL = 'http://127.0.0.1:9600';
/** Between the two looks of one that is not watched. */
const BETWEEN_LOOKS_MS = 1_000;
const ANSWER_DEADLINE_MS = 5_000;

/** `lamplighter status` */
export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('say how a node is: state and reasons, generator, sources, outlets, fleet, with rates')
    .option('--url <url>', `its admin listener, http(s)://host:port (default: ${DEFAULT_URL})`, nodeUrl)
    .option('--config <file>', 'the configuration of a node on this machine, which says where it listens')
    .option('--watch', 'go on looking until stopped; on a terminal the same lines are drawn anew')
    .option(
      '--every <s>',
      'with --watch: seconds between two looks (default: 1 on a terminal, else 10)',
      integer(1, 3_600),
    )
    .option('--json', 'print the status as one JSON object; with --watch one a line')
    .option('--cert <file>', 'own certificate for https, PEM: of role admin unless the node says otherwise')
    .option('--key <file>', 'its private key, PEM')
    .option('--ca <file>', 'the private CA’s certificate, PEM')
    .option('--peer <name>', 'the name in the node’s certificate, instead of its host name')
    .addHelpText(
      'after',
      '\nWithout --json it looks twice, a second apart, because of the rates.\n' +
        'Exit code: 0 ready, 2 degraded, 1 not serving or no answer, 64 wrong usage, 78 a configuration that is not good; with --watch 0 when it was stopped.',
    )
    .action(run);
}

async function run(flags: StatusFlags): Promise<void> {
  const place = await placeOf(flags);
  const signal = untilStopped();
  if (flags.watch) {
    const { watchStatus } = await import('./status-watch.js');
    await watchStatus({
      where: shown(place),
      everyS: flags.every,
      isJson: flags.json === true,
      look,
      signal,
    });
    return;
  }
  if (flags.every !== undefined) throw new LamplighterError('ERR_USAGE', '--every goes with --watch');
  const asking = `asking ${shown(place)}`;
  const first = await during(asking, look());
  if (flags.json) {
    answer(JSON.stringify(first, null, 2));
    process.exitCode = exitCodeOf(first);
    return;
  }
  const { statusLines } = await import('./status-table.js');
  await during(
    asking,
    pause(BETWEEN_LOOKS_MS, undefined, { signal }).catch(() => undefined),
  );
  const second = await during(asking, look());
  const { stdout } = process;
  const view = { where: shown(place), width: widthOf(stdout), paint: painter(stdout), nowMs: Date.now() };
  for (const line of statusLines(second, first, view)) answer(line);
  process.exitCode = exitCodeOf(second);

  async function look(): Promise<NodeStatus> {
    const [{ fetchStatus }, { statusOf }] = await Promise.all([
      import('../wire/status-client.js'),
      import('./status-schema.js'),
    ]);
    const status = await fetchStatus(place, { deadlineMs: ANSWER_DEADLINE_MS, signal }).catch(
      (error: unknown) => {
        throw absent(error, flags);
      },
    );
    return statusOf(status, place.url.host);
  }
}

const shown = ({ url }: StatusPlace): string => url.origin;

function exitCodeOf({ state }: NodeStatus): number {
  if (state === 'ready') return 0;
  return state === 'degraded' ? 2 : 1;
}

/** Nobody there is what most often goes wrong: then where it was looked for matters, and what else can be named. */
function absent(error: unknown, { url, config }: StatusFlags): unknown {
  if (!(error instanceof LamplighterError) || error.code !== 'ERR_UPSTREAM_UNREACHABLE') return error;
  const why = url !== undefined ? '--url' : config === undefined ? 'the default' : config;
  const hint = `is the node running? ${
    url === undefined && config === undefined
      ? 'Name it with --url or --config'
      : 'Its log says where its admin listener is'
  }`;
  return new LamplighterError(error.code, `no node: ${error.message}; that address is from ${why}`, {
    hint: hint.toLowerCase(),
    cause: error,
  });
}

async function placeOf(flags: StatusFlags): Promise<StatusPlace> {
  const { url, config: file, cert, key, ca, peer } = flags;
  if (url !== undefined && file !== undefined)
    throw new LamplighterError('ERR_USAGE', 'either --url or --config');
  if ([cert, key, ca].some((one) => one !== undefined) && [cert, key, ca].includes(undefined)) {
    throw new LamplighterError('ERR_USAGE', '--cert, --key and --ca go together');
  }
  const { systemEnvironment } = await import('../local/environment.js');
  const environment = systemEnvironment();
  const connect: StatusPlace['connect'] = (endpoint) => environment.connect(endpoint);
  const configured = file === undefined ? undefined : await configuredPlace(file);
  const where = url ?? configured?.url ?? new URL(DEFAULT_URL);
  if (where.protocol === 'http:') return { url: where, connect };
  const files =
    cert === undefined || key === undefined || ca === undefined ? configured?.tls : { cert, key, ca };
  if (files === undefined) {
    throw new LamplighterError('ERR_USAGE', `${where.origin} wants a certificate`, {
      hint: 'name one of role admin with --cert, --key and --ca: `lamplighter ca issue --role admin` makes it',
    });
  }
  const { loadTlsFiles } = await import('../identity/tls-files.js');
  const tls = await loadTlsFiles(files);
  return { url: where, connect, upstream: { tls, ...(peer !== undefined && { name: peer }) } };
}

async function configuredPlace(file: string) {
  const [{ loadNodeConfig }, { systemEnvironment }, { isLoopback }] = await Promise.all([
    import('../node/config.js'),
    import('../local/environment.js'),
    import('../wire/network.js'),
  ]);
  const { admin, tls } = await loadNodeConfig(systemEnvironment(), file);
  const { host, port } = admin;
  const isPlain = isLoopback(host) && admin.tls === undefined;
  if (port === 0 || host === '0.0.0.0' || host === '::') {
    throw new LamplighterError(
      'ERR_USAGE',
      `${file} does not say by which ${port === 0 ? 'port' : 'name'} it is reached`,
      {
        hint: 'name it with --url',
      },
    );
  }
  const url = new URL(`${isPlain ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`);
  return { url, tls };
}
