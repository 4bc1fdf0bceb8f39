import { agentConfig } from '../agent/config.js';
import { nodeConfig } from '../node/config.js';
import { SOFTWARE } from '../wire/software.js';
import { type CommandFacts, commandFacts, withAllBelow } from './command-facts.js';
import { configurationKeys } from './configuration-keys.js';
import { commandPage, pageName } from './manual-command.js';
import { configurationPage } from './manual-configuration.js';
import { lamplighterProgram } from './program.js';

/**
 * Every manual page: one for each command, and one for the configuration files.
 * @param madeAt - the date they carry
 * @returns the pages by their file names
 */
export function manualPages(madeAt: Date): ReadonlyMap<string, string> {
  const colophon = { date: madeAt.toISOString().slice(0, 10), software: SOFTWARE };
  const program = commandFacts(lamplighterProgram());
  const commands = withAllBelow(program).map((command): [string, string] => [
    `${pageName(command)}.1`,
    commandPage(command, colophon, readsConfiguration(command) ? ['lamplighter.yaml(5)'] : []),
  ]);
  const parts = [
    {
      title: 'A NODE',
      about: 'Read by lamplighter node and lamplighter host.',
      keys: configurationKeys(nodeConfig),
    },
    {
      title: 'AN AGENT',
      about: 'Read by lamplighter agent, and written by lamplighter enroll.',
      keys: configurationKeys(agentConfig),
    },
  ];
  return new Map([...commands, ['lamplighter.yaml.5', configurationPage(parts, colophon)]]);
}

/** The program itself, and whatever names a configuration. */
const readsConfiguration = ({ path, options, arguments: given }: CommandFacts): boolean =>
  path.length === 1 ||
  [...options, ...given].some(({ description }) => description.toLowerCase().includes('configuration'));
