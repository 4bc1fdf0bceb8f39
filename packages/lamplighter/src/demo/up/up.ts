import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { BootReport } from '../../agent/boot.js';
import type { Environment } from '../../local/environment.js';
import { parseCameraUrl } from '../../sources/camera/camera-url.js';
import { certificateCommands } from './certificates.js';
import { layoutOf, type Ports, writeConfigurations } from './files.js';
import { type Chain, newFlow } from './flow.js';
import { look } from './look.js';
import { choosePorts } from './ports.js';
import { type CommandLine, runToEnd, Service } from './processes.js';

const LOOK_EVERY_MS = 250;
/** How long the whole chain is given until a kernel is seeded. */
const ONCE_DEADLINE_MS = 90_000;
const BOOT_EVERY_MS = 300_000;
const RETRY_BOOT_MS = 5_000;
/** How long all processes together are given to stop; each needs at most two seconds, mostly far less. */
const STOP_DEADLINE_MS = 4_000;

export interface UpOptions {
  /** Where files are left: configurations, certificates, logs, state. */
  readonly directory: string;
  /** A real camera instead of the virtual wall: URL, device or file. */
  readonly camera?: string;
  /** Ends as soon as a kernel is seeded. */
  readonly once: boolean;
}

/** What `up` shows as it goes along. */
export interface UpScreen {
  /** One thing that happened, at one hop. */
  tell(hop: string, line: string): void;
  /** A command about to be run, as a user would type it. */
  command(args: CommandLine): void;
  /** The chain as it is now. */
  show(chain: Chain, urls: Readonly<Record<string, string>>, kernelSeededAt: Date | undefined): void;
}

/** What came of it. */
export interface UpSummary {
  readonly seeded: boolean;
  readonly beacons: number;
  /** Bytes heard, by node and source. */
  readonly sources: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly kernel: BootReport['kernel'];
  readonly basis: readonly string[];
  readonly urls: Readonly<Record<string, string>>;
}

/**
 * The whole chain on one machine: lamps, office, relay, machine, kernel, each a process of its own, started with the
 * very commands a user would type. This function only writes configuration, starts, watches and tells.
 *
 * @returns the summary, when `once` and a kernel is seeded, or when the signal fires after that; every process it
 *   started is gone by then
 * @throws LamplighterError ERR_CONFIG when the camera can never work; ERR_CHILD_FAILED when a command fails for good, ERR_DEADLINE when no kernel is seeded in time
 */
export async function up(
  options: UpOptions,
  environment: Environment,
  screen: UpScreen,
  signal: AbortSignal,
): Promise<UpSummary | undefined> {
  if (options.camera !== undefined) parseCameraUrl(options.camera);
  const layout = layoutOf(options.directory);
  const ports = await choosePorts((listener, wanted, chosen) =>
    screen.tell('up', `port ${wanted} is in use: ${listener} listens on ${chosen}`),
  );
  const urls = urlsOf(ports, options.camera);
  await writeConfigurations(
    environment,
    layout,
    ports,
    options.camera ?? `${urls['wall'] ?? ''}/stream.mjpg`,
  );
  for (const args of await certificateCommands(environment, layout)) {
    if (signal.aborted) return undefined;
    screen.command(args);
    const log = join(layout.logs, 'ca.log');
    const { code } = await runToEnd(environment, args, log);
    if (code !== 0) {
      throw new LamplighterError('ERR_CHILD_FAILED', `lamplighter ${args.join(' ')} ended with ${code}`, {
        hint: `its messages are in ${log}`,
      });
    }
  }

  const services = [
    ...(options.camera === undefined ? [{ name: 'wall', args: ['wall', '--port', String(ports.wall)] }] : []),
    { name: 'office', args: ['node', '--config', layout.officeConfig] },
    { name: 'relay', args: ['node', '--config', layout.relayConfig] },
  ].map(
    ({ name, args }) =>
      new Service(name, args, environment, layout.logs, (error) => screen.tell(name, describe(error))),
  );
  const boot: CommandLine = ['agent', '--once', '--json', '--config', layout.agentConfig];
  for (const { args } of services) screen.command(args);
  screen.command(boot);
  for (const service of services) service.start();
  try {
    return await watch(
      options,
      environment,
      screen,
      urls,
      () => runToEnd(environment, boot, join(layout.logs, 'agent.log'), signal),
      signal,
    );
  } finally {
    const late = environment.timers.after(STOP_DEADLINE_MS, () => {
      for (const service of services) service.kill();
    });
    // Against the data's way, so that nobody loses an upstream it would then complain about.
    for (const service of services.reverse()) await service.stop();
    late.cancel();
  }
}

async function watch(
  { once }: UpOptions,
  environment: Environment,
  screen: UpScreen,
  urls: Readonly<Record<string, string>>,
  runAgent: () => Promise<{ code: number; output: string }>,
  signal: AbortSignal,
): Promise<UpSummary | undefined> {
  const flow = newFlow((hop, line) => screen.tell(hop, line));
  const nowMs = (): number => Number(environment.monotonicNs() / 1_000_000n);
  const startedMs = nowMs();
  let nextBootMs = startedMs;
  let chain: Chain = { office: undefined, relay: undefined, boot: undefined };
  let kernelSeededAt: Date | undefined;

  while (!signal.aborted) {
    const [office, relay] = await Promise.all([look(urls['office'] ?? ''), look(urls['relay'] ?? '')]);
    chain = { office, relay, boot: chain.boot };
    flow(chain);
    if (relay?.generator.seeded && nowMs() >= nextBootMs) {
      const { code, output } = await runAgent();
      if (signal.aborted) break;
      const boot = parseBoot(output);
      nextBootMs = nowMs() + (code === 0 ? BOOT_EVERY_MS : RETRY_BOOT_MS);
      if (boot === undefined)
        screen.tell('machine', `the agent ended with ${code} and no report; see its log`);
      if (boot?.seeded) kernelSeededAt = new Date();
      chain = { ...chain, boot: boot ?? chain.boot };
      flow(chain);
      if (once && code === 0) return summaryOf(chain, urls);
    }
    if (once && nowMs() - startedMs > ONCE_DEADLINE_MS) {
      throw new LamplighterError('ERR_DEADLINE', 'no kernel was seeded in time', {
        hint: 'the logs of each process are in the state folder, under logs',
      });
    }
    screen.show(chain, urls, kernelSeededAt);
    await environment.timers.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
  }
  return summaryOf(chain, urls);
}

function summaryOf(
  { office, relay, boot }: Chain,
  urls: Readonly<Record<string, string>>,
): UpSummary | undefined {
  if (boot === undefined) return undefined;
  const heard = (node: Chain['office']): Record<string, number> =>
    Object.fromEntries((node?.sources ?? []).map(({ name, bytes }) => [name, bytes]));
  return {
    seeded: boot.seeded,
    beacons: boot.beacons,
    sources: { office: heard(office), relay: heard(relay), machine: boot.sources },
    kernel: boot.kernel,
    basis: boot.basis,
    urls,
  };
}

/** The agent is our own program, of this very version: what it prints is a report or nothing. */
function parseBoot(output: string): BootReport | undefined {
  try {
    return JSON.parse(output) as BootReport;
  } catch {
    return undefined;
  }
}

function urlsOf(ports: Ports, camera: string | undefined): Record<string, string> {
  return {
    ...(camera === undefined && { wall: `http://127.0.0.1:${ports.wall}` }),
    office: `http://127.0.0.1:${ports.officeAdmin}/`,
    relay: `http://127.0.0.1:${ports.relayAdmin}/`,
    beacons: `https://127.0.0.1:${ports.relay}`,
  };
}

const describe = (error: LamplighterError): string => `${error.message} [${error.code}]; it is started again`;
