import type { CompletedCommand, CompletedOption, Offer } from './completion.js';

/**
 * Completion for fish, with what each word means.
 * @param commands - the program first
 */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const name = commands[0]?.path[0] ?? '';
  const paths = commands.slice(1).map(({ path }) => quoted(path.join(' ')));
  const valued = commands.flatMap(({ path, options }) =>
    options
      .filter(({ offer }) => offer !== undefined)
      .flatMap(({ names }) => names.map((option) => quoted([...path, option].join(' ')))),
  );
  return `# fish completion for ${name}, made by \`${name} completion fish\`

set -g __${name}_commands ${paths.join(' ')}
set -g __${name}_valued ${valued.join(' ')}

function __${name}_at -d 'Whether this is the command being typed'
    set -l at ${name}
    set -l is_value no
    for word in (commandline -opc)[2..-1]
        if test $is_value = yes
            set is_value no
        else if string match -q -- '-*' $word
            contains -- "$at $word" $__${name}_valued; and set is_value yes
        else if contains -- "$at $word" $__${name}_commands
            set at "$at $word"
        end
    end
    test "$at" = "$argv"
end

complete -c ${name} -f
${commands.flatMap(linesOf).join('\n')}`;
}

function linesOf({ path, commands, options, arguments: given }: CompletedCommand): string[] {
  const [name = ''] = path;
  const start = `complete -c ${name} -n ${quoted(`__${name}_at ${path.join(' ')}`)}`;
  return [
    ...commands.map((below) => `${start} -a ${quoted(below.name)} -d ${quoted(below.description)}`),
    ...options.map((option) => `${start} ${optionWords(option)} -d ${quoted(option.description)}`),
    ...given
      .filter(({ offer }) => offer.kind !== 'nothing')
      .map(({ offer }) => `${start} ${offer.kind === 'file' ? '-F' : `-a ${valuesOf(offer)}`}`),
  ];
}

function optionWords({ names, offer }: CompletedOption): string {
  const words = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  if (offer === undefined) return words.join(' ');
  return [...words, offer.kind === 'file' ? '-r -F' : `-x -a ${valuesOf(offer)}`].join(' ');
}

function valuesOf(offer: Offer): string {
  switch (offer.kind) {
    case 'words':
      return quoted(offer.words.join(' '));
    case 'folder':
      return quoted('(__fish_complete_directories)');
    case 'file':
    case 'nothing':
      return "''";
  }
}

const quoted = (text: string): string => `'${text.replace(/[\\']/g, String.raw`\$&`)}'`;
