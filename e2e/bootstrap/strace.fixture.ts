/** One system call that touches a seed folder, as strace saw it. */
export interface Boundary {
  readonly name: string;
  /** Which call of this name it is in its thread, from 1; those that touch other files are not counted. */
  readonly ordinal: number;
  /** In the folder; empty for the folder itself. */
  readonly file: string;
  /** How often the seed was replaced, by renames begun before this call. */
  readonly replaced: bigint;
}

const SEED_FILES = ['', '/seed', '/seed.new', '/seed.lock'] as const;

/**
 * For tests: strace in front of a command, for the calls that touch a seed folder.
 * @param folder - absolute
 * @param output - where it writes them, one a line
 * @param filter - further options: which calls, and what is done to them. Not `--seccomp-bpf`: with it strace 6.1 leaves out
 *   every injection but that into the first call
 */
export function straceOf(folder: string, output: string, filter: readonly string[]): readonly string[] {
  const paths = SEED_FILES.flatMap((name) => ['-P', folder + name]);
  // Not a byte of what is written: it is secret.
  return ['strace', '-f', '-y', '-s', '0', '-o', output, ...paths, ...filter];
}

/** For tests: the calls in what strace wrote, in the order in which they began. */
export function boundariesIn(trace: string, folder: string): readonly Boundary[] {
  const counts = new Map<string, number>();
  const found: Boundary[] = [];
  let replaced = 0n;
  for (const line of trace.split('\n')) {
    const [, thread = '', name = '', given = ''] = /^(\d+) +(\w+)\((.*)/.exec(line) ?? [];
    const at = given.indexOf(folder);
    if (at < 0) continue;
    const ordinal = (counts.get(thread + name) ?? 0) + 1;
    counts.set(thread + name, ordinal);
    const file = /^\/?([\w.]*)/.exec(given.slice(at + folder.length))?.[1] ?? '';
    found.push({ name, ordinal, file, replaced });
    if (name.startsWith('rename')) replaced += 1n;
  }
  return found;
}
