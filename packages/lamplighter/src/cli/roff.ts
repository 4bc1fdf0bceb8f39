/*
 * The few words of man(7) that our pages need. Text is escaped here and nowhere else; what is not ASCII is written by its
 * number, so that a page reads the same whatever a formatter takes its encoding for.
 */

/** What every page says of where it comes from. */
export interface Colophon {
  /** Of the build, `2027-01-31`. */
  readonly date: string;
  /** Name and version. */
  readonly software: string;
}

/** One line of text. */
export function roffText(text: string): string {
  const escaped = text
    .replaceAll('\\', String.raw`\e`)
    .replaceAll('-', String.raw`\-`)
    .replaceAll('`', String.raw`\(ga`)
    .replaceAll('^', String.raw`\(ha`)
    .replaceAll('~', String.raw`\(ti`)
    .replace(/[^\n\x20-\x7e]/gu, (character) => `\\[u${codeOf(character)}]`);
  return /^[.']/.test(escaped) ? String.raw`\&${escaped}` : escaped;
}

/** A macro with its arguments, each of one word or more. */
export function roffMacro(name: string, ...words: readonly string[]): string {
  const quoted = words.map((word) => `"${roffText(word).replaceAll('"', String.raw`\(dq`)}"`);
  return [`.${name}`, ...quoted].join(' ');
}

/** How every page begins: its title, and no word broken or line stretched, because names of options are to be copied. */
export function roffTitle(name: string, section: number, { date, software }: Colophon): string[] {
  // Formatters want the date as it is.
  return [
    `.TH "${roffText(name)}" ${section} "${date}" "${roffText(software)}" "Lamplighter"`,
    '.nh',
    '.ad l',
  ];
}

/** Text in bold. */
export const roffBold = (text: string): string => String.raw`\fB${roffText(text)}\fR`;
/** Text in italics: what stands for something else. */
export const roffItalic = (text: string): string => String.raw`\fI${roffText(text)}\fR`;

/** A paragraph as lines of less than 80 bytes, however long it gets when it is escaped. */
export function roffLines(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').map((plain) => roffText(plain))) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length > 78) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** A term and what it means. */
export const roffTerm = (term: string, meaning: string): string[] => ['.TP', term, ...roffLines(meaning)];

/** Lines as they are laid out for a terminal: those that are indented stay lines, the others are paragraphs. */
export function roffNotes(notes: string): string[] {
  const lines = notes.split('\n').filter((line) => line.trim() !== '');
  return lines.flatMap((line, i) => {
    if (line.startsWith(' ')) return ['.RS 4', '.nf', roffText(line.trim()), '.fi', '.RE'];
    return i === 0 ? roffLines(line) : ['.PP', ...roffLines(line)];
  });
}

/** Four digits at least, as groff_char(7) wants them. */
const codeOf = (character: string): string =>
  (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
