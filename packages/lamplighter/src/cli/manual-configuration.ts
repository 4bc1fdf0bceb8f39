import type { ConfigurationKey } from './configuration-keys.js';
import { type Colophon, roffBold, roffLines, roffMacro, roffTerm, roffTitle } from './roff.js';

/** One kind of configuration file, with all its keys. */
export interface ConfigurationPart {
  readonly title: string;
  /** Which command reads it, and what else to say in a sentence or two. */
  readonly about: string;
  readonly keys: readonly ConfigurationKey[];
}

/** The manual page of the configuration files, lamplighter.yaml(5), from the schemas that read them. */
export function configurationPage(parts: readonly ConfigurationPart[], colophon: Colophon): string {
  return [
    ...roffTitle('LAMPLIGHTER.YAML', 5, colophon),
    '.SH NAME',
    String.raw`lamplighter.yaml \- configuration of a Lamplighter node or agent`,
    '.SH DESCRIPTION',
    ...roffLines(
      'YAML of at most 1 MiB. Relative paths are relative to the file. A key that is not listed is refused. ' +
        '[] stands for each entry of a list, * for each name. ' +
        '`lamplighter config check` names every fault by its key; `lamplighter config schema` prints this as JSON Schema.',
    ),
    ...parts.flatMap((part) => partLines(part)),
    '.SH SEE ALSO',
    ...roffLines('lamplighter(1), lamplighter-node(1), lamplighter-agent(1), lamplighter-config(1)'),
    '',
  ].join('\n');
}

function partLines({ title, about, keys }: ConfigurationPart): string[] {
  const lines = [roffMacro('SH', title), ...roffLines(about)];
  let heading = '';
  for (const key of keys) {
    const under = key.kind === undefined ? '' : `${key.path.replace(/\[\].*/, '')}: ${key.kind}`;
    if (under !== '' && under !== heading) lines.push(roffMacro('SS', under));
    heading = under;
    // The heading says it.
    if (under !== '' && key.path.endsWith('.kind')) continue;
    lines.push(...roffTerm(roffBold(key.path), meaning(key)));
  }
  return lines;
}

function meaning({ type, isRequired, fallback, description }: ConfigurationKey): string {
  const rest = isRequired ? 'required' : fallback === undefined ? '' : `default ${fallback}`;
  const facts = [type, rest].filter((part) => part !== '').join('; ');
  return description === '' ? `${facts}.` : `${description} (${facts}).`;
}
