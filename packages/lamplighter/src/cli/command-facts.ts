import type { Command, Option } from 'commander';

/** One option as `--help` shows it. */
export interface OptionFacts {
  /** As defined: `--out <dir>`. */
  readonly flags: string;
  /** What it can be typed as: `-V`, `--version`. */
  readonly names: readonly string[];
  /** What its value is called, `dir`; absent when it has none. */
  readonly value?: string;
  /** All the values it may have; empty when it is free. */
  readonly choices: readonly string[];
  readonly description: string;
}

/** One argument that has no name on the command line. */
export interface ArgumentFacts {
  readonly name: string;
  readonly isRequired: boolean;
  readonly choices: readonly string[];
  readonly description: string;
}

/** One command: what its help, its manual page and its completion say. */
export interface CommandFacts {
  /** `['lamplighter', 'ca', 'issue']` */
  readonly path: readonly string[];
  /** What stands behind the path in a synopsis: `[options] <dir>`. */
  readonly usage: string;
  readonly description: string;
  readonly options: readonly OptionFacts[];
  readonly arguments: readonly ArgumentFacts[];
  readonly commands: readonly CommandFacts[];
  /** What stands below the options in its help; empty when nothing does. */
  readonly notes: string;
}

/** Reads a program's definitions, hidden ones left out. */
export function commandFacts(command: Command, above: readonly string[] = []): CommandFacts {
  const path = [...above, command.name()];
  const help = command.createHelp();
  return {
    path,
    usage: command.usage(),
    description: command.description(),
    options: help
      .visibleOptions(command)
      .map((option) => optionFacts(option, help.optionDescription(option))),
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      isRequired: argument.required,
      choices: argument.argChoices ?? [],
      description: help.argumentDescription(argument),
    })),
    // --help does what commander's own `help` command does.
    commands: help
      .visibleCommands(command)
      .filter((below) => below.name() !== 'help')
      .map((below) => commandFacts(below, path)),
    notes: notesOf(command),
  };
}

/** A command and all below it, itself first. */
export function withAllBelow(command: CommandFacts): CommandFacts[] {
  return [command, ...command.commands.flatMap((below) => withAllBelow(below))];
}

function optionFacts(option: Option, description: string): OptionFacts {
  const value = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1];
  return {
    flags: option.flags,
    names: [option.short, option.long].filter((name) => name !== undefined),
    ...(value !== undefined && { value }),
    choices: option.argChoices ?? [],
    description,
  };
}

/** Commander keeps added help as listeners: what they say is what comes after the help that it makes itself. */
function notesOf(command: Command): string {
  let shown = '';
  const before = command.configureOutput();
  command.configureOutput({ ...before, writeOut: (text) => void (shown += text) });
  command.outputHelp();
  command.configureOutput(before);
  return shown.slice(command.helpInformation().length).trim();
}
