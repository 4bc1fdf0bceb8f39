import type { CompletedCommand, Offer } from './completion.js';

/**
 * Completion for bash, which needs nothing beside bash 4: no bash-completion package, and lamplighter is not started.
 * @param commands - the program first
 */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const name = commands[0]?.path[0] ?? '';
  return `# bash completion for ${name}, made by \`${name} completion bash\`

# Sets offer to what can be typed as the value of option $2 of command $1: words, "file:", "folder:", "nothing:"; empty when it has none.
_${name}_value() {
  offer=''
  case "$1 $2" in
${commands.flatMap(valueCases).join('\n')}
  esac
}

# Sets offer to what argument number $2 of command $1 can be.
_${name}_argument() {
  offer=''
  case "$1 $2" in
${commands.flatMap(argumentCases).join('\n')}
  esac
}

# Sets commands and options to what can follow command $1.
_${name}_words() {
  commands='' options=''
  case "$1" in
${commands.map(wordCase).join('\n')}
  esac
}

_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} at=${quoted(name)} arguments=0 only_arguments='' offer='' commands options word i
  COMPREPLY=()
  # Bash makes a word of the "=" in --option=value.
  [[ $current == = ]] && current=''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [[ $word == = ]] && continue
    if [[ -n $offer ]]; then
      offer=''
    elif [[ -n $only_arguments ]]; then
      arguments=$((arguments + 1))
    elif [[ $word == -- ]]; then
      only_arguments=yes
    elif [[ $word == -* ]]; then
      _${name}_value "$at" "$word"
    else
      _${name}_words "$at"
      if [[ " $commands " == *" $word "* ]]; then at="$at $word"; else arguments=$((arguments + 1)); fi
    fi
  done
  if [[ -z $offer ]]; then
    _${name}_words "$at"
    if [[ $current == -* && -z $only_arguments ]]; then
      offer=$options
    elif [[ -n $commands ]]; then
      offer=$commands
    else
      _${name}_argument "$at" "$arguments"
      [[ -z $offer && -z $only_arguments ]] && offer=$options
    fi
  fi
  case $offer in
    nothing:) ;;
    file:)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      ;;
    folder:)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$current") ;;
  esac
}
complete -F _${name} ${name}`;
}

function valueCases({ path, options }: CompletedCommand): string[] {
  return options.flatMap(({ names, offer }) =>
    offer === undefined
      ? []
      : names.map((name) => `    ${quoted([...path, name].join(' '))}) offer=${quoted(textOf(offer))} ;;`),
  );
}

function argumentCases({ path, arguments: given }: CompletedCommand): string[] {
  return given.map(
    ({ offer }, i) => `    ${quoted(`${path.join(' ')} ${i}`)}) offer=${quoted(textOf(offer))} ;;`,
  );
}

function wordCase({ path, commands, options }: CompletedCommand): string {
  const below = quoted(commands.map(({ name }) => name).join(' '));
  const own = quoted(options.flatMap(({ names }) => names).join(' '));
  return `    ${quoted(path.join(' '))}) commands=${below} options=${own} ;;`;
}

const textOf = (offer: Offer): string => (offer.kind === 'words' ? offer.words.join(' ') : `${offer.kind}:`);

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
