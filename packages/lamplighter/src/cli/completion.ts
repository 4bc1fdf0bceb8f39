import { type CommandFacts, type OptionFacts, withAllBelow } from './command-facts.js';

/** What a shell can offer for a value: one of some words, names of files or folders, or nothing that it knows. */
export type Offer =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'file' | 'folder' | 'nothing' };

/** One option with what its value may be; `offer` is absent when it has none. */
export interface CompletedOption {
  readonly names: readonly string[];
  readonly description: string;
  readonly offer?: Offer;
}

/** What can be typed behind one command. */
export interface CompletedCommand {
  readonly path: readonly string[];
  readonly description: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
  readonly arguments: readonly { readonly name: string; readonly offer: Offer }[];
}

/** What every command of a program can be followed by, the program itself first. */
export function completions(program: CommandFacts): CompletedCommand[] {
  const all = withAllBelow(program);
  return all.map(({ path, description, commands, options, arguments: given }) => ({
    path,
    description,
    commands: commands.map((below) => ({ name: below.path.at(-1) ?? '', description: below.description })),
    options: [...options, ...optionsAbove(all, path, options)].map(completedOption),
    arguments: given.map(({ name, choices }) => ({ name, offer: offerFor(name, choices) })),
  }));
}

/**
 * Commander takes the options of the commands above as well, wherever they stand. Not offered: what the program itself
 * has (--version), and what the command has by the same name.
 */
function optionsAbove(
  all: readonly CommandFacts[],
  path: readonly string[],
  own: readonly OptionFacts[],
): OptionFacts[] {
  const known = new Set(own.flatMap(({ names }) => names));
  return all
    .filter(
      (other) =>
        other.path.length > 1 &&
        other.path.length < path.length &&
        other.path.every((name, i) => name === path[i]),
    )
    .flatMap(({ options }) => options)
    .filter(({ names }) => !names.some((name) => known.has(name)));
}

function completedOption({ names, description, value, choices }: OptionFacts): CompletedOption {
  return { names, description, ...(value !== undefined && { offer: offerFor(value, choices) }) };
}

/** By what a value is called in the help. */
function offerFor(value: string, choices: readonly string[]): Offer {
  if (choices.length > 0) return { kind: 'words', words: choices };
  if (/^(file|path|where)$/.test(value)) return { kind: 'file' };
  return { kind: value === 'dir' ? 'folder' : 'nothing' };
}
