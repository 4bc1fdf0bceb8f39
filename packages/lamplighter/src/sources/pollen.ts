import { LamplighterError } from '@lamplighter/core';
import { readAuthorities } from '../identity/pem-file.js';
import type { Environment } from '../local/environment.js';
import { fetchPollen } from '../wire/pollen-client.js';
import { parsePollenUrl, pollenSecrecy } from '../wire/pollen-url.js';
import { askedSource } from './asked-source.js';
import type { Source } from './source.js';

const DEFAULT_PERIOD_MS = 300_000;
/** The same as a boot waits for its relays. */
const DEFAULT_DEADLINE_MS = 5_000;

/** How a pollen source is configured. */
export interface PollenSourceOptions {
  readonly name?: string;
  /** Of the server, see {@link parsePollenUrl}. */
  readonly url: string;
  /** Path of PEM with the CAs that alone may have made its certificate, read anew for every connection. */
  readonly ca?: string | undefined;
  /** Connections without a post-quantum hybrid key exchange are refused. */
  readonly requireHybrid?: boolean | undefined;
  /** Mean time between answers, ms; 300,000 unless told. */
  readonly periodMs?: number;
  /** For one exchange, ms; 5,000 unless told. */
  readonly deadlineMs?: number;
  /** Awaited before each TLS connection: whoever hedges this process's OpenSSL does it here. */
  readonly prepare?: () => Promise<void>;
}

/**
 * Answers of a pollen server: one for every round that asks, and one every `periodMs` while it runs, heard as an event.
 *
 * The first line of an answer proves that the server read our challenge, and nothing else; what the second is worth nobody
 * says, so it earns no credit and never makes a node seeded. A server that gives the same again is heard, and called stuck.
 * @throws LamplighterError ERR_CONFIG for an address that cannot be
 */
export function pollenSource(options: PollenSourceOptions, environment: Environment): Source {
  const { name = 'pollen', ca, requireHybrid, prepare } = options;
  const { periodMs = DEFAULT_PERIOD_MS, deadlineMs = DEFAULT_DEADLINE_MS } = options;
  const url = parsePollenUrl(options.url);
  const isTls = url.protocol === 'https:';
  let protocol: string | undefined;
  let retryAfterMs: number | undefined;

  async function ask(signal: AbortSignal): Promise<Uint8Array> {
    try {
      if (isTls) await prepare?.();
      const authorities = isTls && ca !== undefined ? await readAuthorities(ca, environment) : undefined;
      const fetched = await fetchPollen(
        { url, ca: authorities, requireHybrid },
        { environment, deadlineMs, signal },
      );
      retryAfterMs = undefined;
      protocol = fetched.protocol;
      return fetched.bytes;
    } catch (error) {
      retryAfterMs = error instanceof LamplighterError ? error.retryAfterMs : undefined;
      throw error;
    }
  }

  return askedSource(
    {
      name,
      kind: 'pollen',
      periodMs,
      ask,
      details: () => ({
        secrecy: pollenSecrecy(options),
        ...(protocol !== undefined && { protocol }),
        ...(retryAfterMs !== undefined && { retryAfterMs }),
      }),
    },
    environment,
  );
}
