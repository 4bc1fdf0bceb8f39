/** How much of a program's stderr is kept, bytes, and how much of that is shown, characters. */
const MAX_KEPT_BYTES = 2048;
const MAX_SHOWN_LENGTH = 200;

/**
 * The last words of a program's stderr. They are shown only while its stdout has said nothing: a program that traces what it
 * does may write the same bytes to both, in whatever form, and those are secret.
 */
export class Complaint {
  #text = '';

  add(bytes: Uint8Array): void {
    this.#text = `${this.#text}${Buffer.from(bytes).toString('latin1')}`.slice(-MAX_KEPT_BYTES);
  }

  /**
   * @param heardBytes - what came from its stdout
   * @returns `: ` and its last two lines, printable; or nothing
   */
  shown(heardBytes: number): string {
    if (heardBytes > 0) return '';
    const lines = this.#text.split('\n').map((line) => line.replace(/[^\x20-\x7e]/g, '?').trim());
    const last = lines.filter((line) => line !== '').slice(-2);
    return last.length === 0 ? '' : `: ${last.join('; ').slice(-MAX_SHOWN_LENGTH)}`;
  }
}
