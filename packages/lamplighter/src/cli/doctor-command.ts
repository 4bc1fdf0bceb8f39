import type { Command } from 'commander';
import type { Examination } from '../doctor/examination.js';
import type { Level } from '../doctor/fact.js';
import { type Paint, painter, type Tone } from './display.js';
import { during } from './progress.js';
import { answer, untilStopped } from './terminal.js';

interface DoctorFlags {
  config?: string;
  agentConfig?: string;
  state?: string;
  json?: true;
}

/** How long something that hangs in the kernel may keep this process after its last line. */
const LINGER_MS = 500;

/** `lamplighter doctor` */
export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('look at this machine as an expert would: facts, a verdict, the next action')
    .option('--config <file>', 'a node’s configuration, whose certificates and seed are looked at')
    .option(
      '--agent-config <file>',
      'an agent’s configuration, whose relays are asked too (default: /etc/lamplighter/agent.yaml where there is one)',
    )
    .option('--state <dir>', 'the folder of the seed to look at (default: as configured)')
    .option('--json', 'print an object: verdict, facts by their names, actions')
    .addHelpText(
      'after',
      '\nChanges nothing and uses up no seed. Prints nothing secret. Takes some 2 s, and never more than 70.\n' +
        'verdict: good, weak (it works, but something that lamplighter promises is off) or broken (no boot could be safe)\n' +
        'exit code: 0 good or weak, 1 broken',
    )
    .action(async ({ config, agentConfig, state, json }: DoctorFlags) => {
      const [{ examineMachine }, { systemEnvironment }] = await Promise.all([
        import('../doctor/examination.js'),
        import('../local/environment.js'),
      ]);
      const looking = examineMachine(systemEnvironment(), {
        files: {
          ...(config !== undefined && { node: config }),
          ...(agentConfig !== undefined && { agent: agentConfig }),
        },
        ...(state !== undefined && { state }),
        signal: untilStopped(),
      });
      const examination = await during('looking at this machine', looking);
      answer(
        json ? JSON.stringify(asObject(examination), null, 2) : asText(examination, painter(process.stdout)),
      );
      process.exitCode = examination.verdict === 'broken' ? 1 : 0;
      setTimeout(() => process.exit(), LINGER_MS).unref();
    });
}

function asObject({ verdict, facts, actions }: Examination): object {
  return { verdict, facts: Object.fromEntries(facts.map(({ id, ...fact }) => [id, fact])), actions };
}

function asText({ verdict, facts, actions }: Examination, paint: Paint): string {
  const width = Math.max(...facts.map(({ id }) => id.length));
  return [
    ...facts.map(
      ({ id, level, text }) => `${paint(TONES[level], level.padEnd(6))}  ${id.padEnd(width)}  ${text}`,
    ),
    `verdict: ${paint(verdict === 'broken' ? 'bad' : verdict, verdict)}`,
    ...(actions.length === 0 ? ['next: nothing'] : actions.map((action) => `next: ${action}`)),
  ].join('\n');
}

const TONES: Readonly<Record<Level, Tone>> = { ok: 'good', weak: 'weak', broken: 'bad', info: 'dim' };
