type Headers = Record<string, string>;

/** What headers that cannot change were completed to the last time. */
const COMPLETED = new WeakMap<object, { readonly lengthBytes: number | undefined; readonly all: Headers }>();

/**
 * A route's headers with those that no route can change. Whoever answers much hands over the same frozen object again and
 * again, and gets the same one back.
 * @param lengthBytes - of the body; undefined for an endless answer
 */
export function completedHeaders(
  headers: Readonly<Headers>,
  lengthBytes: number | undefined,
): Readonly<Headers> {
  const known = COMPLETED.get(headers);
  if (known !== undefined && known.lengthBytes === lengthBytes) return known.all;
  const own = lengthBytes === undefined ? {} : { 'content-length': String(lengthBytes) };
  const all = { ...headers, ...own, 'cache-control': 'no-store' };
  if (Object.isFrozen(headers)) COMPLETED.set(headers, { lengthBytes, all });
  return all;
}
