import { resolve } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import type { Environment } from '../local/environment.js';
import { filePath } from './fields.js';

const MAX_FILE_BYTES = 1024 * 1024;

export const tlsPaths = z.strictObject({
  ca: filePath.describe('the private CA’s certificate, PEM'),
  cert: filePath.describe('this node’s certificate, PEM'),
  key: filePath.describe('its private key, PEM, mode 0600'),
  requireHybrid: z
    .boolean()
    .optional()
    .describe(
      'only post-quantum hybrid key exchange, X25519MLKEM768: needs OpenSSL 3.5 (Node 24) at both ends',
    ),
});

/** TLS paths made absolute. */
export function resolveTls<T extends { ca: string; cert: string; key: string }>(folder: string, tls: T): T {
  return {
    ...tls,
    ca: resolve(folder, tls.ca),
    cert: resolve(folder, tls.cert),
    key: resolve(folder, tls.key),
  };
}

/** What stands in a YAML file. @throws LamplighterError ERR_CONFIG_FILE, ERR_CONFIG (with line and column) */
export async function readYaml(environment: Environment, path: string): Promise<unknown> {
  let text: string;
  try {
    const { size } = await environment.fs.stat(path);
    if (size > MAX_FILE_BYTES) throw Object.assign(new Error(), { code: `over ${MAX_FILE_BYTES} bytes` });
    text = await environment.fs.readFile(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new LamplighterError('ERR_CONFIG_FILE', `cannot read the configuration ${path} (${why})`, {
      hint: 'name a readable file',
      cause,
    });
  }
  const document = parseDocument(text, { prettyErrors: true });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const at = fault.linePos?.[0];
    throw new LamplighterError(
      'ERR_CONFIG',
      `${path}${at === undefined ? '' : `:${at.line}:${at.col}`}: ${lowerFirst(firstLine(fault.message))}`,
      { hint: 'the file must be valid YAML', cause: fault },
    );
  }
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new LamplighterError('ERR_CONFIG', `${path}: its aliases (*name) cannot be followed`, {
      hint: 'write out what they stand for',
      cause,
    });
  }
}

/**
 * Checks a value against a schema and names every fault by its key path.
 * @param schemaCommand - the subcommand of `lamplighter config` that prints the schema
 * @throws LamplighterError ERR_CONFIG
 */
export function validate<S extends z.ZodType>(
  schema: S,
  value: unknown,
  path: string,
  schemaCommand = 'schema',
): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => `${keyPath(issue.path)}: ${wordsOf(issue.message)}`);
  throw new LamplighterError('ERR_CONFIG', `${path}: ${faults.join('; ')}`, {
    hint: `\`lamplighter config ${schemaCommand}\` prints every key and its bounds`,
  });
}

/** What zod says, in the way of our own messages. */
function wordsOf(message: string): string {
  const words = message
    .replace(/^Invalid input: /, '')
    .replace(/, received undefined$/, ', and it is missing');
  return lowerFirst(words);
}

function keyPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the file';
  return path
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i === 0 ? '' : '.'}${String(key)}`))
    .join('');
}

/** Without the place, which stands before it already. */
const firstLine = (text: string): string =>
  (text.split('\n', 1)[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');

const lowerFirst = (text: string): string => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
