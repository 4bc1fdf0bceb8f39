/**
 * Refuses a number that is out of its range, NaN among them.
 * @param name - with its unit, as callers write it
 * @throws RangeError
 */
export function checkRange(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most)) throw new RangeError(`${name} is ${least} to ${most}`);
}
