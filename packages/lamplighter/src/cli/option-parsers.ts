import { InvalidArgumentError } from 'commander';

/** A whole number between two bounds, both allowed. */
export function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`expected a whole number from ${least} to ${most}`);
    }
    return value;
  };
}

/** Gathers a repeatable option. */
export function repeated(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** An https URL. */
export function httpsUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:') throw new InvalidArgumentError('expected a URL that begins with https://');
  return url;
}

/** An http or https URL of a node: host and port, and nothing behind them. */
export function nodeUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError('expected http://host:port or https://host:port');
  }
  return url;
}

/** 0 to 64 bytes in hexadecimal, as a beacon nonce. More are left for the relay to refuse. */
export function hex(text: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/i.test(text))
    throw new InvalidArgumentError('expected hexadecimal digits, two a byte');
  return Buffer.from(text, 'hex');
}
