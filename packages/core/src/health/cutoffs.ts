/** What both health tests are set up from. Source: NIST SP 800-90B, section 4.4. */
export interface CutoffOptions {
  /** H, the assessed min-entropy of one raw sample in bits: more than 0, at most 64. */
  readonly minEntropyBits: number;
  /** log2 of α, the chance of a false alarm: -64..-1. The standard recommends α between 2^-20 and 2^-40. */
  readonly alphaLog2: number;
}

/**
 * C of the repetition count test: so many equal samples in a row are an alarm.
 *
 * Source: SP 800-90B, section 4.4.1: C = 1 + ⌈(-log2 α) / H⌉.
 * @returns a count of samples, at least 2
 * @throws RangeError if an option is out of range
 */
export function repetitionCountCutoff(options: CutoffOptions): number {
  const { minEntropyBits, alphaLog2 } = checked(options);
  return 1 + Math.ceil(-alphaLog2 / minEntropyBits);
}

/**
 * C of the adaptive proportion test: a window's first sample coming so many times in it (itself included) is an alarm.
 *
 * Source: SP 800-90B, section 4.4.2: C = 1 + CRITBINOM(W, 2^-H, 1 - α).
 * @param options - `windowSize`: W in samples, 2..65,536; the standard uses 1024 for binary sources and 512 for others.
 *   `rule`: `standard` is the formula above; `corrected` is 2 + CRITBINOM(W - 1, 2^-H, 1 - α): the first sample always
 *   equals itself, so only W - 1 are random (public comment 10b on the standard; jitterentropy does the same)
 * @returns a count of samples, at most W
 * @throws RangeError if an option is out of range
 */
export function adaptiveProportionCutoff(
  options: CutoffOptions & { readonly windowSize: number; readonly rule?: 'standard' | 'corrected' },
): number {
  const { minEntropyBits, alphaLog2 } = checked(options);
  const { windowSize, rule = 'standard' } = options;
  if (!Number.isInteger(windowSize) || windowSize < 2 || windowSize > 65_536) {
    throw new RangeError('a window has 2 to 65536 samples');
  }
  const cutoff =
    rule === 'standard'
      ? 1 + criticalBinomial(windowSize, minEntropyBits, alphaLog2)
      : 2 + criticalBinomial(windowSize - 1, minEntropyBits, alphaLog2);
  return Math.min(cutoff, windowSize);
}

/**
 * CRITBINOM(n, 2^-H, 1 - α): the smallest k with P(X ≤ k) ≥ 1 - α, that is P(X > k) ≤ α.
 *
 * Summed from the upper end, smallest terms first, because 1 - 2^-40 leaves a double only 13 bits for α; in logarithms,
 * because 2^-Hn is far below the smallest double.
 */
function criticalBinomial(n: number, minEntropyBits: number, alphaLog2: number): number {
  const alpha = 2 ** alphaLog2;
  const lnP = -minEntropyBits * Math.LN2;
  const lnQ = Math.log1p(-(2 ** -minEntropyBits));
  // P(X = n) = p^n; going down, P(X = k - 1) = P(X = k) · k / (n - k + 1) · q / p
  let lnTerm = n * lnP;
  let tail = 0;
  let k = n;
  while (k > 0 && tail + Math.exp(lnTerm) <= alpha) {
    tail += Math.exp(lnTerm);
    lnTerm += Math.log(k / (n - k + 1)) + lnQ - lnP;
    k -= 1;
  }
  return k;
}

function checked(options: CutoffOptions): CutoffOptions {
  const { minEntropyBits, alphaLog2 } = options;
  if (!(minEntropyBits > 0 && minEntropyBits <= 64)) {
    throw new RangeError('the min-entropy of a sample is more than 0 and at most 64 bits');
  }
  if (!(alphaLog2 >= -64 && alphaLog2 <= -1)) throw new RangeError('log2 of alpha is -64 to -1');
  return options;
}
