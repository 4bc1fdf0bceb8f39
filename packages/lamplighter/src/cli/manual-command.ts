import type { CommandFacts, OptionFacts } from './command-facts.js';
import {
  type Colophon,
  roffBold,
  roffItalic,
  roffLines,
  roffMacro,
  roffNotes,
  roffTerm,
  roffText,
  roffTitle,
} from './roff.js';

/** What a command's page is called: `lamplighter-ca-issue`. */
export const pageName = ({ path }: Pick<CommandFacts, 'path'>): string => path.join('-');

/**
 * The manual page of one command, section 1, from what its help is made of.
 * @param seeAlso - pages beside those of the commands right above and below
 */
export function commandPage(command: CommandFacts, colophon: Colophon, seeAlso: readonly string[]): string {
  const { path, description, options, commands, notes } = command;
  const above = path.length > 1 ? [pageName({ path: path.slice(0, -1) })] : [];
  const related = [...above.map((name) => `${name}(1)`), ...commands.map((below) => `${pageName(below)}(1)`)];
  return [
    ...roffTitle(pageName(command).toUpperCase(), 1, colophon),
    '.SH NAME',
    [`${roffText(pageName(command))} ${String.raw`\-`}`, ...roffLines(description)].join('\n'),
    '.SH SYNOPSIS',
    `${roffBold(path.join(' '))} ${roffText(command.usage)}`,
    ...section('ARGUMENTS', argumentLines(command)),
    ...section('COMMANDS', commandLines(command)),
    ...section(
      'OPTIONS',
      options.flatMap((option) => roffTerm(optionTerm(option), option.description)),
    ),
    ...section('NOTES', roffNotes(notes)),
    ...section('SEE ALSO', [[...related, ...seeAlso].map((name) => roffText(name)).join(',\n')]),
    '',
  ].join('\n');
}

/** A heading, where there is something below it. */
function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 || lines[0] === '' ? [] : [roffMacro('SH', title), ...lines];
}

function argumentLines(command: CommandFacts): string[] {
  return command.arguments.flatMap(({ name, isRequired, description }) =>
    roffTerm(roffItalic(name), isRequired ? description : `${description} (may be left out)`),
  );
}

const commandLines = ({ commands }: CommandFacts): string[] =>
  commands.flatMap((below) => roffTerm(roffBold(below.path.join(' ')), below.description));

function optionTerm({ names, flags }: OptionFacts): string {
  const value = /[<[].*$/.exec(flags)?.[0];
  const shown = names.map((name) => roffBold(name)).join(', ');
  return value === undefined ? shown : `${shown} ${roffItalic(value)}`;
}
