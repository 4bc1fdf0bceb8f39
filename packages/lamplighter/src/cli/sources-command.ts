import { LamplighterError } from '@lamplighter/core';
import type { Command } from 'commander';
import type { Environment } from '../local/environment.js';
import type { Source } from '../sources/source.js';
import type { SourceTrial } from '../doctor/source-trial.js';
import { integer, repeated } from './option-parsers.js';
import { clearProgress, during, showProgress } from './progress.js';
import { answer, say, untilStopped } from './terminal.js';

interface TryOptions {
  seconds: number;
  set?: string[];
  config?: string;
  json?: true;
}

/** How long `list` waits for any one source. */
const LIST_ANSWER_MS = 3_000;

/** `lamplighter sources list` and `lamplighter sources try NAME` */
export function addSourcesCommand(program: Command): void {
  const sources = program.command('sources').description('what this machine can hear, and how well');

  sources
    .command('list')
    .description('ask every source that needs no configuration once, and name the others')
    .option('--json', 'print an object')
    .action(async ({ json }: { json?: true }) => {
      const [{ knownKinds, sourceOf }, { trySource }, { systemEnvironment }] = await Promise.all([
        import('../doctor/known-sources.js'),
        import('../doctor/source-trial.js'),
        import('../local/environment.js'),
      ]);
      const environment = systemEnvironment();
      const signal = untilStopped();
      const kinds = knownKinds();
      const here: SourceTrial[] = [];
      // One after the other: some of them measure time.
      for (const { kind } of kinds.filter(({ needs }) => needs.length === 0)) {
        const source = sourceOf(kind, {}, environment);
        const trial = trySource(source, { environment, seconds: 0, answerMs: LIST_ANSWER_MS, signal });
        here.push(await during(`asking ${kind}`, trial));
      }
      const others = kinds.filter(({ needs }) => needs.length > 0);
      if (json) {
        answer(JSON.stringify({ here, configured: others }, null, 2));
        return;
      }
      for (const trial of here) answer(`${trial.kind.padEnd(10)} ${trial.state.padEnd(9)} ${briefly(trial)}`);
      for (const { kind, needs } of others) {
        answer(`${kind.padEnd(10)} ${'-'.padEnd(9)} to be configured: ${needs.join(', ')}`);
      }
    });

  sources
    .command('try')
    .description('hear one source for a while and say how it does; prints none of its bytes')
    .argument('<name>', 'a kind, or with --config the name of a source in that configuration')
    .option('--seconds <n>', 'how long', integer(1, 3_600), 5)
    .option('--set <key=value>', 'an option of the source, as in a configuration; repeatable', repeated)
    .option('--config <file>', 'a node’s configuration that has the source')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      '\nExamples:\n  lamplighter sources try timing\n  lamplighter sources try camera --set url=/dev/video0 --seconds 20\nExit code: 0 when it was heard and nothing is wrong, else 1.',
    )
    .action(async (name: string, options: TryOptions) => {
      const [{ trySource }, { systemEnvironment }] = await Promise.all([
        import('../doctor/source-trial.js'),
        import('../local/environment.js'),
      ]);
      const environment = systemEnvironment();
      const source = await chosenSource(name, options, environment);
      const { seconds, json } = options;
      const trial = await trySource(source, {
        environment,
        seconds,
        signal: untilStopped(),
        onSecond: ({ events, bytes, state }) => showProgress(`${state}: ${events} events, ${bytes} bytes`),
      }).finally(clearProgress);
      if (json) answer(JSON.stringify(trial, null, 2));
      else show(trial);
      process.exitCode = trial.state === 'ok' || trial.state === 'ended' ? 0 : 1;
    });
}

async function chosenSource(
  name: string,
  { config, set = [] }: TryOptions,
  environment: Environment,
): Promise<Source> {
  const { configuredSource, sourceOf } = await import('../doctor/known-sources.js');
  return config === undefined
    ? sourceOf(name, await parsed(set), environment)
    : await configuredSource(name, config, environment);
}

/** `key=value` pairs; a value is what it would be in YAML. */
async function parsed(pairs: readonly string[]): Promise<Record<string, unknown>> {
  const { parse } = await import('yaml');
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0 ? [pair, true] : [pair.slice(0, equals), valueOf(pair, equals + 1)];
    }),
  );

  function valueOf(pair: string, at: number): unknown {
    try {
      return parse(pair.slice(at)) as unknown;
    } catch (cause) {
      throw new LamplighterError('ERR_USAGE', `--set ${pair.slice(0, at)} is followed by what is no YAML`, {
        hint: 'quote it for the shell and for YAML, as in --set \'from={ command: [trng, "-q"] }\'',
        cause,
      });
    }
  }
}

function briefly({ answer: given, reason }: SourceTrial): string {
  const how = given === undefined ? 'no answer' : `${given.bytes} bytes in ${given.ms.toFixed(1)} ms`;
  return reason === undefined ? how : `${how}: ${reason.message}`;
}

function show(trial: SourceTrial): void {
  const { name, state, reason, events, bytes, seconds, details } = trial;
  const worth = trial.simulated
    ? 'simulated'
    : trial.physical
      ? 'a healthy physical noise source'
      : 'uncredited';
  answer(`${name}: ${state} (${worth})`);
  if (reason !== undefined) {
    answer(`  why        ${reason.message} [${reason.code}]`);
    if (reason.hint !== undefined) say(`hint: ${reason.hint}`);
  }
  const rate = seconds === 0 ? 0 : bytes / seconds;
  answer(
    `  heard      ${events} events, ${bytes} bytes in ${seconds.toFixed(1)} s, ${rate.toFixed(0)} bytes/s`,
  );
  answer(
    `  one answer ${trial.answer === undefined ? 'none' : `${trial.answer.bytes} bytes in ${trial.answer.ms.toFixed(1)} ms`}`,
  );
  for (const [key, value] of Object.entries(details)) answer(`  ${key.padEnd(10)} ${String(value)}`);
}
