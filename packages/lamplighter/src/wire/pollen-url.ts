import { LamplighterError } from '@lamplighter/core';

/** Where a pollen server is, as a configuration says it. */
export interface PollenPlace {
  readonly url: string;
  /** Path of PEM with the CAs that alone may have made its certificate. */
  readonly ca?: string | undefined;
}

/**
 * Who can know what a server at this address gives.
 *
 * - `pinned`: the server, which is known by a CA that was named. Secret from everybody else.
 * - `unpinned`: the server, and whoever has a certificate of any CA that came with node.
 * - `public`: everybody on the way.
 */
export type PollenSecrecy = 'pinned' | 'unpinned' | 'public';

/** See {@link PollenSecrecy}. */
export function pollenSecrecy({ url, ca }: PollenPlace): PollenSecrecy {
  if (parsePollenUrl(url).protocol === 'http:') return 'public';
  return ca === undefined ? 'unpinned' : 'pinned';
}

/**
 * Reads the address of a pollen server: `https://host` or `http://host`, with a path and a query or without.
 * @throws LamplighterError ERR_CONFIG
 */
export function parsePollenUrl(text: string): URL {
  if (isPollenUrl(text)) return new URL(text);
  throw new LamplighterError('ERR_CONFIG', 'pollen: the address is no http:// or https:// URL', {
    hint: 'for example https://entropy.example/, without a user or a fragment',
  });
}

/** Whether {@link parsePollenUrl} takes it. */
export function isPollenUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, hash } = new URL(text);
  return ['http:', 'https:'].includes(protocol) && username === '' && password === '' && hash === '';
}
