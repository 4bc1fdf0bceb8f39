/**
 * What a fact means for this machine.
 *
 * - `ok`: as it should be.
 * - `weak`: it works, but something that Lamplighter promises is off.
 * - `broken`: no boot could be safe, or nothing would come of one.
 * - `info`: said for who reads it; it decides nothing.
 */
export type Level = 'ok' | 'weak' | 'broken' | 'info';

/** One thing found out about this machine. Never a secret byte. */
export interface Fact {
  /** Stable, dotted: the family first. */
  readonly id: string;
  readonly level: Level;
  /** For people: lower-case, without full stop. */
  readonly text: string;
  /** The same for programs. */
  readonly values?: Readonly<Record<string, number | string | boolean>>;
  /** What to do about it: an imperative sentence with the exact command. Only where it is weak or broken. */
  readonly action?: string;
}

const MAX_TEXT_LENGTH = 400;
const MAX_VALUE_LENGTH = 200;
/** C0, DEL, C1, and the marks that turn the direction of writing. */
// oxlint-disable-next-line no-control-regex
const NOT_PRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** A fact that may be shown: what files, devices and peers have put into it cannot steer a terminal, or fill it. */
export function printable(fact: Fact): Fact {
  const { values } = fact;
  return {
    ...fact,
    text: bounded(fact.text, MAX_TEXT_LENGTH),
    ...(values && {
      values: Object.fromEntries(
        Object.entries(values).map(([key, value]) => [
          key,
          typeof value === 'string' ? bounded(value, MAX_VALUE_LENGTH) : value,
        ]),
      ),
    }),
    ...(fact.action !== undefined && { action: bounded(fact.action, MAX_TEXT_LENGTH) }),
  };
}

/** The hint of an error as an action: a sentence, in which a bare command is marked as one. */
export function actionFrom(hint: string): string {
  const command = /^(?:chmod \d|apt-get )[^;,]*/.exec(hint)?.[0];
  const text =
    command === undefined
      ? `${hint.charAt(0).toUpperCase()}${hint.slice(1)}`
      : `Run \`${command}\`${hint.slice(command.length)}`;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function bounded(text: string, maxLength: number): string {
  const clean = text.replace(NOT_PRINTABLE, '?');
  return clean.length <= maxLength ? clean : `${clean.slice(0, maxLength - 1)}…`;
}
