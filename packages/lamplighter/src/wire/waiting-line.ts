/**
 * A line in which groups take turns, so that one with a thousand members waiting does not stand in front of one with a
 * single member.
 *
 * Each operation takes constant time, but for {@link WaitingLine.longest} and {@link WaitingLine.takeLeast}.
 */
export class WaitingLine<Member extends { readonly group: string }> {
  /** The group whose turn it is comes first; a group's members are in the order they came. */
  readonly #members = new Map<string, Set<Member>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(member: Member): boolean {
    return this.#members.get(member.group)?.has(member) === true;
  }

  /** How many of a group's members wait. */
  sizeOf(group: string): number {
    return this.#members.get(group)?.size ?? 0;
  }

  add(member: Member): void {
    if (this.has(member)) return;
    const theirs = this.#members.get(member.group);
    if (theirs === undefined) this.#members.set(member.group, new Set([member]));
    else theirs.add(member);
    this.#size += 1;
  }

  /** @returns whether it was there */
  delete(member: Member): boolean {
    const theirs = this.#members.get(member.group);
    if (theirs?.delete(member) !== true) return false;
    if (theirs.size === 0) this.#members.delete(member.group);
    this.#size -= 1;
    return true;
  }

  /**
   * Takes out whose turn it is; its group then goes to the end.
   * @param may - whether a group may have a turn now
   */
  take(may: (group: string) => boolean): Member | undefined {
    for (const group of this.#members.keys()) if (may(group)) return this.#takeOf(group);
    return undefined;
  }

  /**
   * Takes out of turn, from the group of the least rank; its group then goes to the end all the same. Looks at every group.
   * @param may - whether a group may have a turn now
   */
  takeLeast(may: (group: string) => boolean, rank: (group: string) => number): Member | undefined {
    let least: string | undefined;
    let leastRank = Infinity;
    for (const group of this.#members.keys()) {
      const its = rank(group);
      if (its < leastRank && may(group)) [least, leastRank] = [group, its];
    }
    return least === undefined ? undefined : this.#takeOf(least);
  }

  /**
   * The group of which most wait; of several the one of the highest rank, and then the one whose turn comes last.
   * @returns its members, the first to come first
   */
  longest(rank: (group: string) => number = () => 0): ReadonlySet<Member> {
    let longest: ReadonlySet<Member> = new Set();
    let highest = 0;
    for (const [group, theirs] of this.#members) {
      if (theirs.size < longest.size) continue;
      const its = rank(group);
      if (theirs.size === longest.size && its < highest) continue;
      [longest, highest] = [theirs, its];
    }
    return longest;
  }

  #takeOf(group: string): Member | undefined {
    const theirs = this.#members.get(group);
    if (theirs === undefined) return undefined;
    const [first] = theirs;
    if (first === undefined) return undefined;
    this.delete(first);
    if (this.#members.delete(group)) this.#members.set(group, theirs);
    return first;
  }

  *[Symbol.iterator](): Generator<Member, void, undefined> {
    for (const theirs of this.#members.values()) yield* theirs;
  }
}
