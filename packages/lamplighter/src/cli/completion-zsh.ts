import type { CompletedCommand, CompletedOption, Offer } from './completion.js';

/**
 * Completion for zsh, with what each word means.
 * @param commands - the program first
 */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const name = commands[0]?.path[0] ?? '';
  return `#compdef ${name}
# zsh completion for ${name}, made by \`${name} completion zsh\`

${commands.map(functionOf).join('\n\n')}

if [[ \${funcstack[1]} == _${name} ]]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi`;
}

function functionOf({ path, commands, options, arguments: given }: CompletedCommand): string {
  const specs = options.flatMap((option) => optionSpecs(option));
  if (commands.length === 0) {
    const all = [...specs, ...given.map(({ name, offer }) => quoted(`:${plain(name)}:${actionOf(offer)}`))];
    return `${functionName(path)}() {\n  _arguments -S \\\n${indented(all)}\n}`;
  }
  const below = commands.map(({ name, description }) => quoted(`${plain(name)}:${plain(description)}`));
  const cases = commands.map(({ name }) => `        ${quoted(name)}) ${functionName([...path, name])} ;;`);
  return `${functionName(path)}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C \\
${indented([...specs, quoted('1:command:->command'), quoted('*::argument:->argument')])}
  case $state in
    command)
      local -a commands=(
${below.map((one) => `        ${one}`).join('\n')}
      )
      _describe command commands
      ;;
    argument)
      case $line[1] in
${cases.join('\n')}
      esac
      ;;
  esac
}`;
}

/** Every option may stand again: some are repeatable, and it does no harm with the others. */
function optionSpecs({ names, description, offer }: CompletedOption): string[] {
  return names.map((name) => {
    const value = offer === undefined ? '' : `:value:${actionOf(offer)}`;
    const isLong = name.startsWith('--');
    return quoted(`*${name}${offer !== undefined && isLong ? '=' : ''}[${plain(description)}]${value}`);
  });
}

function actionOf(offer: Offer): string {
  switch (offer.kind) {
    case 'words':
      return `(${offer.words.join(' ')})`;
    case 'file':
      return '_files';
    case 'folder':
      return '_files -/';
    case 'nothing':
      return ' ';
  }
}

const functionName = (path: readonly string[]): string => `_${path.join('_')}`;
const indented = (specs: readonly string[]): string => specs.map((spec) => `    ${spec}`).join(' \\\n');
/** A description is ended by a bracket or a colon. */
const plain = (text: string): string => text.replace(/[\\[\]:]/g, String.raw`\$&`);
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
