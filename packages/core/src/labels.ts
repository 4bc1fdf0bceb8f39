/** Parts that tell who asks, which answer it is, and this moment and machine from others. Separators, never secrets. */
export const SEPARATOR_LABELS = Object.freeze([
  'certificate',
  'nonce',
  'start',
  'stream',
  'realtime',
  'monotonic',
  'boot-id',
  'counter',
  'vm-generation',
  'cycles',
] as const);

/**
 * Every kind of part there is, in the order in which parts stand in an encoding. Source: DESIGN section 5.
 *
 * The order is part of the format: inserting or moving a kind changes no encoded byte of lists that stay legal, but makes
 * other lists legal. Append with care, never reorder.
 */
export const PART_LABELS = Object.freeze([
  ...SEPARATOR_LABELS,
  // what comes from elsewhere
  'root',
  'camera',
  'feed',
  'beacon',
  'pollen',
  'egd',
  'trickle',
  'mailbox',
  'xenstore',
  'process',
  'public',
  'seed',
  'pools',
  // what this machine alone can see
  'whirlwind',
  'timing',
  'jitter',
  'hwrng',
  'tpm',
  'cpu',
  'os',
] as const);

/** The first half of a label: what kind of thing a part is. */
export type PartKind = (typeof PART_LABELS)[number];

const RANKS: ReadonlyMap<string, number> = new Map(PART_LABELS.map((kind, rank) => [kind, rank]));
const NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;

/** A legal label taken apart. */
export interface ParsedLabel {
  /** Of KIND in {@link PART_LABELS}. */
  readonly rank: number;
  /** Empty if the label is a KIND alone. */
  readonly name: string;
}

/**
 * Says whether a text is a legal part label: `KIND` or `KIND/NAME`, KIND from {@link PART_LABELS}, NAME 1..63 characters
 * of `a-z 0-9 . -` that do not begin with `.` or `-`.
 */
export function isPartLabel(label: string): boolean {
  return parseLabel(label) !== undefined;
}

/**
 * The order of parts in an encoding: by the rank of KIND in {@link PART_LABELS}, then by NAME bytewise, no name first.
 *
 * A total order: two legal labels compare equal only if they are the same text.
 * @returns negative if `a` stands before `b`, positive if after, 0 if they are the same
 * @throws RangeError if either is not a legal label
 */
export function compareLabels(a: string, b: string): number {
  const left = parseLabel(a);
  const right = parseLabel(b);
  if (left === undefined || right === undefined) {
    throw new RangeError('a part label is KIND or KIND/NAME with KIND from the table of part labels');
  }
  return compareParsed(left, right);
}

/** As {@link compareLabels}, for labels that were taken apart before. */
export function compareParsed(left: ParsedLabel, right: ParsedLabel): number {
  if (left.rank !== right.rank) return left.rank - right.rank;
  // Names are ASCII, so comparing UTF-16 units compares bytes; localeCompare would depend on the machine's locale.
  if (left.name === right.name) return 0;
  return left.name < right.name ? -1 : 1;
}

/** Takes a label apart; undefined if it is not legal, see {@link isPartLabel}. */
export function parseLabel(label: string): ParsedLabel | undefined {
  const slash = label.indexOf('/');
  const rank = RANKS.get(slash === -1 ? label : label.slice(0, slash));
  if (rank === undefined) return undefined;
  if (slash === -1) return { rank, name: '' };
  const name = label.slice(slash + 1);
  return NAME.test(name) ? { rank, name } : undefined;
}
