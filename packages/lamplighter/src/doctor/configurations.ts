import { LamplighterError } from '@lamplighter/core';
import { loadAgentConfig } from '../agent/config-file.js';
import type { Environment } from '../local/environment.js';
import { loadNodeConfig } from '../node/config.js';
import { isThere } from '../local/is-there.js';
import { type Fact, actionFrom } from './fact.js';
import { refuseOther } from './machine-files.js';
import type { Configured, Subject } from './subject.js';

/** Where an agent's configuration is unless told; looked at only if it is there. */
const USUAL_AGENT_FILE = '/etc/lamplighter/agent.yaml';

/** The files that somebody named. */
export interface ConfigurationFiles {
  readonly node?: string;
  readonly agent?: string;
}

/** Reads the configurations. One that is not good is a fact, and the rest of the machine is looked at without it. */
export async function readConfigurations(
  environment: Environment,
  files: ConfigurationFiles,
): Promise<{ readonly found: Pick<Subject, 'agent' | 'node'>; readonly facts: readonly Fact[] }> {
  const usual = (await isThere(environment, USUAL_AGENT_FILE)) ? USUAL_AGENT_FILE : undefined;
  const agent = await read(environment, 'config.agent', files.agent ?? usual, (file) =>
    loadAgentConfig(environment, file),
  );
  const node = await read(environment, 'config.node', files.node, (file) =>
    loadNodeConfig(environment, file),
  );
  return {
    found: { ...(agent.found && { agent: agent.found }), ...(node.found && { node: node.found }) },
    facts: [...agent.facts, ...node.facts],
  };
}

async function read<C>(
  environment: Environment,
  id: string,
  file: string | undefined,
  load: (file: string) => Promise<C>,
): Promise<{ found?: Configured<C>; facts: readonly Fact[] }> {
  if (file === undefined) return { facts: [] };
  try {
    await refuseOther(environment, file, 'ERR_CONFIG_FILE');
    const config = await load(file);
    return {
      found: { file, config },
      facts: [{ id, level: 'ok', text: `${file} is good`, values: { file, good: true } }],
    };
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    const check = `\`lamplighter config check ${id === 'config.agent' ? '--agent ' : ''}${file}\``;
    const hint = error.hint === undefined ? '' : ` ${actionFrom(error.hint)}`;
    return {
      facts: [
        {
          id,
          level: 'broken',
          text: error.message,
          values: { file, good: false, code: error.code },
          action: `Correct the configuration, and check it: ${check}.${hint}`,
        },
      ],
    };
  }
}
