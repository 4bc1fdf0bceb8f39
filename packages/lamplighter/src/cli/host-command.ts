import { LamplighterError } from '@lamplighter/core';
import { type Command, Option } from 'commander';
import type { NodeConfig } from '../node/config.js';
import type { HostMachine, QemuVersion } from '../node/host/host-machine.js';
import { HYPERVISORS, type Hypervisor } from '../node/host/hypervisors.js';
import type { Advice } from '../node/host/snippet.js';
import { addHostBurstCommand } from './host-burst-command.js';
import { httpsUrl } from './option-parsers.js';
import { during } from './progress.js';
import { answer, say } from './terminal.js';

interface HostOptions {
  config?: string;
}

interface InitOptions {
  out?: string;
  relay?: URL[];
}

interface SnippetOptions {
  config?: string;
  for?: Hypervisor;
  guest: string;
}

const PRESET = 'the preset';

/**
 * `lamplighter host`, `host init`, `host snippets` and `host burst`
 */
export function addHostCommand(program: Command): void {
  const host = program
    .command('host')
    .description('run a node that gives the guests of this VM host entropy')
    .option('--config <file>', 'configuration of a node, YAML; the preset for this machine unless told')
    .addHelpText(
      'after',
      '\nThe preset is what `lamplighter host init` prints. With --config this is `lamplighter node`, which also sees to it that\n' +
        'guests may enter the folder of their socket.\n' +
        'Exit code: 0 when it was told to stop, 64 wrong usage, 78 a configuration that is not good, else 1.',
    )
    .action(run);

  host
    .command('init')
    .description('print a commented configuration for this machine')
    .option('--out <file>', 'where it goes; standard output when left out')
    .option('--relay <url>', 'a relay to ask for beacons; repeatable', relayUrl)
    .action(init);

  host
    .command('snippets')
    .description('print what guests need in the configuration of their hypervisor')
    .option('--config <file>', 'configuration of this host’s node; the preset unless told')
    .addOption(new Option('--for <hypervisor>', 'all of them when left out').choices([...HYPERVISORS]))
    .option('--guest <name>', 'whose sockets they shall name', 'GUEST')
    .addHelpText(
      'after',
      '\nWith --for, standard output has nothing but what is to be pasted, and what is to be known goes to standard error.',
    )
    // Wherever --config stands, commander takes it for that of `host`.
    .action((_, command: Command) => snippets(command.optsWithGlobals<SnippetOptions>()));

  addHostBurstCommand(host);
}

async function run({ config: file }: HostOptions): Promise<void> {
  const [
    { runNode },
    { loadNodeConfig },
    { readHostMachine },
    { hostPreset, parseHostPreset },
    { prepareGuestFolders },
  ] = await Promise.all([
    import('./node-run.js'),
    import('../node/config.js'),
    import('../node/host/host-machine.js'),
    import('../node/host/host-preset.js'),
    import('../node/host/guest-folders.js'),
  ]);
  await runNode({
    file: file ?? PRESET,
    load: async (environment) =>
      file === undefined
        ? parseHostPreset(hostPreset(await readHostMachine(environment)))
        : loadNodeConfig(environment, file),
    prepare: async (config, environment, log) => {
      const { qemuGroup } = await readHostMachine(environment);
      if (qemuGroup === undefined) return;
      for (const reason of await prepareGuestFolders(config, qemuGroup, environment)) {
        log.warn({ reason }, 'guests cannot reach their socket');
      }
    },
  });
}

async function init({ out, relay }: InitOptions): Promise<void> {
  const [{ hostPreset }, machine] = await Promise.all([import('../node/host/host-preset.js'), thisMachine()]);
  const text = hostPreset(machine, relay === undefined ? {} : { relays: relay });
  if (out === undefined) return answer(text.trimEnd());
  const { writeFilesTogether } = await import('../identity/key-files.js');
  try {
    await writeFilesTogether([{ path: out, content: text, mode: 0o644 }]);
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw new LamplighterError('ERR_OUTPUT_FILE', `${out} cannot be written (${code})`, {
      hint: 'name a file in a folder that is there and that this user may write to',
      cause,
    });
  }
  say(`written to ${out}; \`lamplighter host --config ${out}\` runs it`);
}

async function snippets({ config: file, for: one, guest }: SnippetOptions): Promise<void> {
  const { adviceFor } = await import('../node/host/host-snippets.js');
  const [config, qemu] = await Promise.all([configuration(file), thisQemu()]);
  const subject = { config, guest, qemu };
  if (one !== undefined) {
    const { text, notes } = adviceFor(one, subject);
    if (text === undefined) {
      throw new LamplighterError('ERR_CONFIG', `nothing in this configuration can reach guests of ${one}`, {
        hint: 'add an egd outlet, or see `lamplighter host snippets` without --for',
      });
    }
    answer(text);
    for (const note of notes) say(note);
    return;
  }
  const all = HYPERVISORS.map((name) => heading(name, adviceFor(name, subject)));
  answer(all.join('\n\n'));
}

/** A hypervisor's part of a page for people. */
function heading(name: Hypervisor, { where, text, notes }: Advice): string {
  const block = text === undefined ? [`# ${name}: nothing`] : [`# ${name}: ${where}`, text];
  return [...block, ...notes.map((note) => `# ${note}`)].join('\n');
}

async function configuration(file: string | undefined): Promise<NodeConfig> {
  if (file === undefined) {
    const { hostPreset, parseHostPreset } = await import('../node/host/host-preset.js');
    return parseHostPreset(hostPreset(await thisMachine()));
  }
  const [{ loadNodeConfig }, { systemEnvironment }] = await Promise.all([
    import('../node/config.js'),
    import('../local/environment.js'),
  ]);
  return loadNodeConfig(systemEnvironment(), file);
}

async function thisQemu(): Promise<QemuVersion | undefined> {
  const [{ readQemuVersion }, { systemEnvironment }] = await Promise.all([
    import('../node/host/host-machine.js'),
    import('../local/environment.js'),
  ]);
  return during('asking QEMU for its version', readQemuVersion(systemEnvironment()));
}

async function thisMachine(): Promise<HostMachine> {
  const [{ readHostMachine }, { systemEnvironment }] = await Promise.all([
    import('../node/host/host-machine.js'),
    import('../local/environment.js'),
  ]);
  return during('looking at this machine', readHostMachine(systemEnvironment()));
}

const relayUrl = (text: string, before: readonly URL[] = []): URL[] => [...before, httpsUrl(text)];
