/**
 * For tests: waits until a condition holds, looking every few milliseconds.
 * @param what - named when the deadline passes
 * @param condition - gives what is waited for, or undefined or false for "not yet"
 * @throws Error after `deadlineMs`
 */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false,
  deadlineMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
