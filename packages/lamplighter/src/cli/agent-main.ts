import { parseArgs } from 'node:util';
import { DEFAULT_AGENT_CONFIG, runAgent } from './agent-run.js';
import { explain } from './terminal.js';

/*
 * The front door that a boot waits behind: `lamplighter agent` with flags it knows, and nothing else loaded. It is bundled into
 * one file. Help, subcommands and mistakes are left to the other door, which knows all of the command line.
 */

const flags = knownFlags(process.argv.slice(3));
if (flags === undefined) {
  // Not to be bundled: by a name that the bundler does not see through. This file lies in dist/bundle/ or dist/cli/.
  await import(new URL('../cli/main.js', import.meta.url).href);
} else {
  try {
    await runAgent(flags);
  } catch (error) {
    process.exitCode = explain(error);
  }
}

function knownFlags(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      allowPositionals: false,
      options: {
        config: { type: 'string', default: DEFAULT_AGENT_CONFIG },
        once: { type: 'boolean' },
        strict: { type: 'boolean' },
        json: { type: 'boolean' },
        'require-hedge': { type: 'boolean' },
      },
    });
    const { 'require-hedge': requireHedge, ...rest } = values;
    return { ...rest, ...(requireHedge !== undefined && { requireHedge }) };
  } catch {
    return undefined;
  }
}
