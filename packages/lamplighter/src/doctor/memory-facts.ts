import { runningAgent } from './agent-facts.js';
import type { Fact } from './fact.js';
import { textOf } from './machine-files.js';
import type { Subject } from './subject.js';

/**
 * Whether a crash would write memory, seed and keys included, to a disk: of the agent that runs here, else of what is started
 * from where we are. A dump handler gets the memory whatever the limit says, unless the process forbids it, which nobody
 * else can see.
 */
export async function memoryFacts(subject: Subject): Promise<readonly Fact[]> {
  const { environment, agent } = subject;
  const pid = await runningAgent(subject);
  const id = 'memory.dumps';
  const limits = await textOf(environment, `/proc/${pid ?? 'self'}/limits`);
  const limit = /^Max core file size\s+(\S+)/m.exec(limits ?? '')?.[1];
  const pattern = (await textOf(environment, '/proc/sys/kernel/core_pattern')) ?? '';
  const swap = ((await textOf(environment, '/proc/swaps')) ?? '').split('\n').length > 1;
  const handler = pattern.startsWith('|');
  const who = pid === undefined ? 'what is started here' : `the agent, process ${pid},`;
  if (limit === undefined) return [{ id, level: 'info', text: 'limits cannot be read', values: { swap } }];
  const values = { limit, handler, swap };
  const swapped = swap ? '; memory may be swapped to disk' : '';
  if (limit === '0') {
    const given = handler ? ', but a dump handler may get one' : '';
    return [{ id, level: 'info', text: `${who} leaves no core file${given}${swapped}`, values }];
  }
  const isAgent = pid !== undefined;
  return [
    {
      id,
      level: isAgent ? 'weak' : 'info',
      text: `${who} may leave a core file with its secrets${swapped}`,
      values,
      ...(isAgent && {
        action: `Start the agent without core files: \`ulimit -c 0; lamplighter agent --config ${agent?.file ?? 'FILE'}\`, or LimitCORE=0 in its unit.`,
      }),
    },
  ];
}
