import { encode } from '@lamplighter/core';

/** A part whose length stays and whose bytes change. */
export interface LaidOutPart {
  readonly label: string;
  /** Undefined: absent. */
  readonly lengthBytes: number | undefined;
}

/**
 * The encoding E of parts whose lengths stay, laid out once: who needs it often writes the parts where they stand.
 *
 * Source: DESIGN section 5; `encode` itself makes it. Whoever writes secrets wipes them.
 */
export interface LaidOut {
  /** All of E, with zeros for the bytes of its parts. */
  readonly text: Uint8Array;
  readonly view: DataView;
  /** Where in it the bytes of a part begin. @throws RangeError when there is no such part */
  readonly at: (label: string) => number;
}

/** @throws RangeError as `encode` */
export function layOut(context: string, parts: readonly LaidOutPart[]): LaidOut {
  const blank = parts.map(({ label, lengthBytes }) => ({
    label,
    bytes: lengthBytes === undefined ? undefined : new Uint8Array(lengthBytes),
  }));
  const text = encode(context, blank);
  return {
    text,
    view: new DataView(text.buffer),
    at: (label) => {
      const index = blank.findIndex((part) => part.label === label);
      const bytes = blank[index]?.bytes;
      if (bytes === undefined) throw new RangeError(`no part ${label} is laid out`);
      // Behind itself and all before it, without its own bytes.
      return encode(context, blank.slice(0, index + 1)).length - bytes.length;
    },
  };
}
