import type { Light } from './words.js';

const SHAPES: Readonly<Record<Light, string>> = { lit: '●', dim: '◐', off: '○', fault: '▲' };

/** A small sign before a word: its shape says the same as its colour, and the word says it again. */
export function Sign({ light }: { light: Light }) {
  return (
    <span class={`sign ${light}`} aria-hidden="true">
      {SHAPES[light]}
    </span>
  );
}
