import { isPollenUrl } from '../wire/pollen-url.js';
import type { AgentConfig } from './config.js';

/**
 * Decodes an agent's configuration without a schema library, whose loading takes longer than a whole boot. It accepts exactly
 * what the schema in `config.ts` does, with the same defaults (a test compares the two), and says nothing of what it does not.
 *
 * @param value - parsed JSON
 * @returns the configuration; undefined when the schema has to be asked what is wrong
 */
export function decodeAgentConfig(value: unknown): AgentConfig | undefined {
  try {
    return configOf(value);
  } catch (error) {
    if (error instanceof NotAccepted) return undefined;
    throw error;
  }
}

class NotAccepted extends Error {}

function configOf(value: unknown): AgentConfig {
  const config = fieldsOf(value, [
    'tls',
    'relays',
    'pollen',
    'authority',
    'require',
    'deadlineMs',
    'state',
    'report',
    'socket',
    'host',
    'refreshMs',
    'kernel',
  ]);
  const tls = fieldsOf(config['tls'], ['ca', 'cert', 'key', 'requireHybrid']);
  const { requireHybrid } = tls;
  accept(requireHybrid === undefined || typeof requireHybrid === 'boolean');
  const kernel = fieldsOf(ifAbsent(config['kernel'], {}), ['device', 'creditBits']);
  const relays = listOf(config['relays'], 1, 16).map((relay) => relayOf(relay));
  const pollen = listOf(ifAbsent(config['pollen'], []), 0, 16).map((server) => pollenOf(server));
  const names = [...relays, ...pollen].map(({ name }) => name);
  accept(new Set(names).size === names.length);
  return {
    tls: {
      ca: pathOf(tls['ca']),
      cert: pathOf(tls['cert']),
      key: pathOf(tls['key']),
      ...(requireHybrid !== undefined && { requireHybrid }),
    },
    relays,
    pollen,
    require: integerOf(config['require'], 0, 16, 1),
    deadlineMs: integerOf(config['deadlineMs'], 100, 300_000, 5_000),
    state: pathOf(config['state'], '/var/lib/lamplighter'),
    report: pathOf(config['report'], '/run/lamplighter/agent.json'),
    refreshMs: integerOf(config['refreshMs'], 1_000, 86_400_000, 600_000),
    kernel: {
      device: pathOf(kernel['device'], '/dev/random'),
      creditBits: integerOf(kernel['creditBits'], 0, 512, 0),
    },
    ...(config['socket'] !== undefined && { socket: socketOf(config['socket']) }),
    ...(config['host'] !== undefined && { host: hostOf(config['host']) }),
    ...(config['authority'] !== undefined && {
      authority: upstreamOf(fieldsOf(config['authority'], ['url', 'peer'])),
    }),
  };
}

function relayOf(value: unknown): AgentConfig['relays'][number] {
  const relay = fieldsOf(value, ['name', 'url', 'peer', 'device']);
  const { device } = relay;
  return {
    name: nameOf(relay['name']),
    ...upstreamOf(relay),
    ...(device !== undefined && { device: pathOf(device) }),
  };
}

function upstreamOf(fields: Readonly<Record<string, unknown>>): NonNullable<AgentConfig['authority']> {
  const url = textOf(fields['url'], 2_048);
  accept(url.startsWith('https://') && URL.canParse(url));
  const { peer } = fields;
  return { url, ...(peer !== undefined && { peer: nameOf(peer) }) };
}

function pollenOf(value: unknown): AgentConfig['pollen'][number] {
  const server = fieldsOf(value, ['name', 'url', 'ca']);
  const url = textOf(server['url'], 2_048);
  accept(isPollenUrl(url));
  const { ca } = server;
  return { name: nameOf(server['name']), url, ...(ca !== undefined && { ca: pathOf(ca) }) };
}

function socketOf(value: unknown): NonNullable<AgentConfig['socket']> {
  const socket = fieldsOf(value, ['path', 'folderMode', 'uids', 'gids']);
  const folderMode = ifAbsent(socket['folderMode'], '0750');
  accept(folderMode === '0700' || folderMode === '0750');
  const ids = (list: unknown): number[] =>
    listOf(ifAbsent(list, []), 0, 256).map((id) => integerOf(id, 0, Number.MAX_SAFE_INTEGER));
  return {
    path: pathOf(socket['path'], '/run/lamplighter/egd.sock'),
    folderMode,
    uids: ids(socket['uids']),
    gids: ids(socket['gids']),
  };
}

function hostOf(value: unknown): NonNullable<AgentConfig['host']> {
  const { device } = fieldsOf(value, ['device']);
  return device === undefined ? {} : { device: pathOf(device) };
}

function accept(isAcceptable: boolean): asserts isAcceptable {
  if (!isAcceptable) throw new NotAccepted();
}

/** Not `??`: null is a value, and no option may have it. */
function ifAbsent(value: unknown, otherwise: unknown): unknown {
  return value === undefined ? otherwise : value;
}

/** An object with no other keys than these. */
function fieldsOf(value: unknown, keys: readonly string[]): Readonly<Record<string, unknown>> {
  accept(typeof value === 'object' && value !== null && !Array.isArray(value));
  accept(Object.keys(value).every((key) => keys.includes(key)));
  return value as Readonly<Record<string, unknown>>;
}

function listOf(value: unknown, least: number, most: number): readonly unknown[] {
  accept(Array.isArray(value) && value.length >= least && value.length <= most);
  return value;
}

function textOf(value: unknown, maxLength: number): string {
  accept(typeof value === 'string' && value.length >= 1 && value.length <= maxLength);
  return value;
}

function nameOf(value: unknown): string {
  const name = textOf(value, 63);
  accept(/^[a-z0-9][a-z0-9.-]{0,62}$/.test(name));
  return name;
}

function pathOf(value: unknown, otherwise?: string): string {
  return value === undefined && otherwise !== undefined ? otherwise : textOf(value, 4_096);
}

function integerOf(value: unknown, least: number, most: number, otherwise?: number): number {
  if (value === undefined && otherwise !== undefined) return otherwise;
  accept(typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most);
  return value;
}
