/** A private supply of output: what every consumer reads instead of the root. */
export interface Stream {
  /** The root's reseed count this stream has followed to. */
  readonly generation: number;
  /**
   * Fresh bytes, made now, never ahead, never given twice.
   * @param lengthBytes - 1..65,536
   * @throws LamplighterError ERR_NOT_SEEDED before the first direct reseed
   * @throws RangeError on another length; state unchanged
   */
  read(lengthBytes: number): Uint8Array;
  /** Wipes the key; later reads throw. */
  close(): void;
}
