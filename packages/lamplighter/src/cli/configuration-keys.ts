import { z } from 'zod';

/** One key of a configuration file. */
export interface ConfigurationKey {
  /** `listen.port`, `sources[].name` */
  readonly path: string;
  /** Of an entry that is of one kind or another: `camera`. */
  readonly kind?: string;
  /** `whole number from 0 to 65535` */
  readonly type: string;
  readonly isRequired: boolean;
  /** As JSON; absent when there is none. */
  readonly fallback?: string;
  readonly description: string;
}

type Schema = z.core.JSONSchema.BaseSchema;

/** Every key that a schema knows, in its order, those that hold others first. */
export function configurationKeys(schema: z.ZodType): ConfigurationKey[] {
  return keysOf(z.toJSONSchema(schema, { io: 'input' }), '', undefined);
}

function keysOf(schema: Schema, at: string, kind: string | undefined): ConfigurationKey[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, below]) => {
    if (typeof below === 'boolean') return [];
    const path = at === '' ? name : `${at}.${name}`;
    const isRequired = schema.required?.includes(name) === true && below.default === undefined;
    return [
      {
        path,
        ...(kind !== undefined && { kind }),
        type: typeOf(below),
        isRequired,
        ...(below.default !== undefined && { fallback: jsonLine(below.default) }),
        description: below.description ?? '',
      },
      ...keysBelow(below, path, kind),
    ];
  });
}

/** The keys of an object, of each entry of a list, or of each value of a map. */
function keysBelow(schema: Schema, path: string, kind: string | undefined): ConfigurationKey[] {
  const { items, additionalProperties: values } = schema;
  if (typeof items === 'object' && !Array.isArray(items)) return entryKeys(items, `${path}[]`, kind);
  if (typeof values === 'object') return entryKeys(values, `${path}.*`, kind);
  return entryKeys(schema, path, kind);
}

function entryKeys(schema: Schema, path: string, kind: string | undefined): ConfigurationKey[] {
  const variants = (schema.oneOf ?? schema.anyOf ?? []).filter((one) => typeof one === 'object');
  return variants.length === 0
    ? keysOf(schema, path, kind)
    : variants.flatMap((one) => keysOf(one, path, kindOf(one) ?? kind));
}

function kindOf({ properties }: Schema): string | undefined {
  const { kind } = properties ?? {};
  return typeof kind === 'object' && typeof kind.const === 'string' ? kind.const : undefined;
}

/** JSON with spaces, at which a line can be broken. */
const jsonLine = (value: unknown): string => JSON.stringify(value, null, 1).replace(/\n */g, ' ');

/** A type and its bounds, in words. */
function typeOf(schema: Schema): string {
  const { type, enum: values, const: only } = schema;
  if (only !== undefined) return JSON.stringify(only);
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(', ');
  switch (type) {
    case 'integer':
      return `whole number${range(schema.minimum, schema.maximum)}`;
    case 'number':
      return `number${range(schema.minimum, schema.maximum)}`;
    case 'string':
      return schema.maxLength === undefined ? 'text' : `text of at most ${schema.maxLength} characters`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return schema.maxItems === undefined ? 'list' : `list of at most ${schema.maxItems}`;
    default:
      return 'mapping';
  }
}

/** JSON Schema bounds every whole number, if by nothing else then by what a double holds. */
function range(least: number | undefined, most: number | undefined): string {
  const from = least === undefined || least <= Number.MIN_SAFE_INTEGER ? '' : ` from ${least}`;
  return `${from}${most === undefined || most >= Number.MAX_SAFE_INTEGER ? '' : ` to ${most}`}`;
}
