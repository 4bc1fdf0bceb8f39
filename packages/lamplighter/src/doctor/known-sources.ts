import { LamplighterError } from '@lamplighter/core';
import type { z } from 'zod';
import { loadTlsFiles } from '../identity/tls-files.js';
import type { Environment } from '../local/environment.js';
import { loadNodeConfig } from '../node/config.js';
import { createSource, type SourceEntry, sourceEntry } from '../node/source-kinds.js';
import type { Source } from '../sources/source.js';

/** One kind of source that a configuration may name. */
export interface KnownKind {
  readonly kind: string;
  /** Options without which it cannot work: empty for what a machine may have by itself. */
  readonly needs: readonly string[];
}

/** Every kind in the registry, in its order. */
export function knownKinds(): readonly KnownKind[] {
  return sourceEntry.options.map((option) => {
    const kind = option.shape.kind.value;
    const parsed = option.safeParse({ kind });
    const needs = parsed.success ? [] : parsed.error.issues.map(({ path }) => path.join('.'));
    return { kind, needs: needs.map((need) => (need === '' ? 'one of several' : need)) };
  });
}

/**
 * Makes a source from what a person wrote.
 * @param options - the entry's options beside `kind`, as a configuration would have them
 * @throws LamplighterError ERR_USAGE for a kind or option that is none; ERR_CONFIG when it needs certificates
 */
export function sourceOf(
  kind: string,
  options: Readonly<Record<string, unknown>>,
  environment: Environment,
): Source {
  const parsed = sourceEntry.safeParse({ ...options, kind });
  if (!parsed.success) {
    const kinds = knownKinds().map((known) => known.kind);
    const isKnown = kinds.includes(kind);
    throw new LamplighterError(
      'ERR_USAGE',
      isKnown ? `${kind}: ${faultsOf(parsed.error)}` : `there is no source '${kind}'`,
      { hint: isKnown ? 'give options as --set key=value' : `there is: ${kinds.join(', ')}` },
    );
  }
  const entry = parsed.data;
  return createSource(entry, { environment, tls: () => noCertificates(entry) });
}

/** Each fault by its key. */
const faultsOf = (error: z.ZodError): string =>
  error.issues
    .map(({ path, message }) => [...(path.length > 0 ? [path.join('.')] : []), message].join(': '))
    .join('; ');

/**
 * Makes one source of a node's configuration, with the node's certificates.
 * @throws LamplighterError ERR_CONFIG and its like as the node would; ERR_USAGE when the configuration has no such source
 */
export async function configuredSource(
  name: string,
  file: string,
  environment: Environment,
): Promise<Source> {
  const config = await loadNodeConfig(environment, file);
  const entry = config.sources.find((source) => source.name === name);
  if (entry === undefined) {
    throw new LamplighterError('ERR_USAGE', `${file} has no source '${name}'`, {
      hint: `it has: ${config.sources.map((source) => source.name).join(', ')}`,
    });
  }
  const tls = config.tls && (await loadTlsFiles(config.tls));
  return createSource(entry, { environment, tls: () => tls ?? noCertificates(entry) });
}

function noCertificates(entry: SourceEntry): never {
  throw new LamplighterError('ERR_CONFIG', `${entry.kind}: a source that asks a node needs certificates`, {
    hint: 'name the node’s configuration with --config, and the source in it',
  });
}
