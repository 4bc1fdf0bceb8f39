/**
 * A line in which groups take turns, so that one with a thousand members waiting does not stand in front of one with a
 * single member.
 *
 * Each operation takes constant time, but for {@link WaitingLine.longest}.
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
    for (const [group, theirs] of this.#members) {
      if (!may(group)) continue;
      const [first] = theirs;
      if (first === undefined) continue;
      this.delete(first);
      if (this.#members.delete(group)) this.#members.set(group, theirs);
      return first;
    }
    return undefined;
  }

  /**
   * The group of which most wait; of several the one whose turn comes last.
   * @returns its members, the first to come first
   */
  longest(): ReadonlySet<Member> {
    let longest: ReadonlySet<Member> = new Set();
    for (const theirs of this.#members.values()) if (theirs.size >= longest.size) longest = theirs;
    return longest;
  }

  *[Symbol.iterator](): Generator<Member, void, undefined> {
    for (const theirs of this.#members.values()) yield* theirs;
  }
}
