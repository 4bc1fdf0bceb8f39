import { dirname, resolve } from 'node:path';
import type { Environment } from '../local/environment.js';
import type { AgentConfig } from './config.js';
import { decodeAgentConfig } from './config-decoder.js';

/** An agent's configuration is a few hundred bytes. */
const MAX_JSON_BYTES = 65_536;

/**
 * Reads and validates an agent's configuration: JSON by a small decoder, because a boot waits for it; YAML, and whatever that
 * decoder does not accept, with all that is needed to say what is wrong.
 * @throws LamplighterError ERR_CONFIG_FILE, ERR_CONFIG: every fault named with its key path
 */
export async function loadAgentConfig(environment: Environment, path: string): Promise<AgentConfig> {
  const config = (await quickly(environment, path)) ?? (await thoroughly(environment, path));
  const folder = dirname(resolve(path));
  const at = (file: string): string => resolve(folder, file);
  const { tls, socket, pollen, host } = config;
  return {
    ...config,
    tls: { ...tls, ca: at(tls.ca), cert: at(tls.cert), key: at(tls.key) },
    pollen: pollen.map((server) => ({ ...server, ...(server.ca !== undefined && { ca: at(server.ca) }) })),
    state: at(config.state),
    report: at(config.report),
    ...(socket && { socket: { ...socket, path: at(socket.path) } }),
    ...(host && { host: host.device === undefined ? {} : { device: at(host.device) } }),
  };
}

async function quickly(environment: Environment, path: string): Promise<AgentConfig | undefined> {
  try {
    const bytes = await environment.fs.readFile(path);
    if (bytes.length > MAX_JSON_BYTES || bytes[0] !== 0x7b) return undefined;
    return decodeAgentConfig(JSON.parse(bytes.toString('utf8')));
  } catch {
    // The other way finds the same fault and has the words for it.
    return undefined;
  }
}

async function thoroughly(environment: Environment, path: string): Promise<AgentConfig> {
  const [{ readYaml, validate }, { agentConfig }] = await Promise.all([
    import('../config/file.js'),
    import('./config.js'),
  ]);
  return validate(agentConfig, await readYaml(environment, path), path, 'schema --agent');
}
