/**
 * A line in which networks take turns, so that one with a thousand members waiting does not stand in front of one with a
 * single member.
 *
 * Each operation takes constant time, but for {@link WaitingLine.longest}.
 */
export class WaitingLine<Member extends { readonly network: string }> {
  /** The network whose turn it is comes first; a network's members are in the order they came. */
  readonly #members = new Map<string, Set<Member>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(member: Member): boolean {
    return this.#members.get(member.network)?.has(member) === true;
  }

  /** How many of a network's members wait. */
  sizeOf(network: string): number {
    return this.#members.get(network)?.size ?? 0;
  }

  add(member: Member): void {
    if (this.has(member)) return;
    const theirs = this.#members.get(member.network);
    if (theirs === undefined) this.#members.set(member.network, new Set([member]));
    else theirs.add(member);
    this.#size += 1;
  }

  /** @returns whether it was there */
  delete(member: Member): boolean {
    const theirs = this.#members.get(member.network);
    if (theirs?.delete(member) !== true) return false;
    if (theirs.size === 0) this.#members.delete(member.network);
    this.#size -= 1;
    return true;
  }

  /**
   * Takes out whose turn it is; its network then goes to the end.
   * @param may - whether a network may have a turn now
   */
  take(may: (network: string) => boolean): Member | undefined {
    for (const [network, theirs] of this.#members) {
      if (!may(network)) continue;
      const [first] = theirs;
      if (first === undefined) continue;
      this.delete(first);
      if (this.#members.delete(network)) this.#members.set(network, theirs);
      return first;
    }
    return undefined;
  }

  /**
   * The network of which most wait; of several the one whose turn comes last.
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
