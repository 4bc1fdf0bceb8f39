import { ERROR_ACTIONS, type ErrorCode, LamplighterError } from '@lamplighter/core';
import { z } from 'zod';
import { ROLES } from '../identity/roles.js';
import { REFUSED_REASONS } from '../wire/listener-limits.js';
import { type NodeStatus, STATUS_VERSION } from '../wire/status.js';

/**
 * A node's status as it came from outside: everything in it is bounded, and no text can steer a terminal.
 * @param where - named in the error
 * @throws LamplighterError ERR_UPSTREAM_PROTOCOL with the first key that is not as it should be
 */
export function statusOf(value: unknown, where: string): NodeStatus {
  const result = nodeStatus.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new LamplighterError(
    'ERR_UPSTREAM_PROTOCOL',
    `the status at ${where} cannot be read: ${issue?.path.join('.') ?? 'all of it'}`,
    { hint: 'use a lamplighter of the same version as the node' },
  );
}

const MAX_TEXT_LENGTH = 4_096;

/**
 * Control characters, those of C1 and those that turn the direction of text included, would let a node whose parts are named by
 * others write anywhere on a terminal.
 */
const text = z
  .string()
  .max(MAX_TEXT_LENGTH)
  .transform((raw) => raw.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '\uFFFD'));
const count = z.number().nonnegative();
const time = z.iso.datetime({ offset: true });
const list = <S extends z.ZodType>(entry: S, most = 1_024): z.ZodArray<S> => z.array(entry).max(most);

/** A node that is newer may know codes that we do not: they stay readable. */
const reason = z
  .object({ code: text, message: text, hint: text.exactOptional() })
  .transform(({ code, message, ...rest }) =>
    isErrorCode(code)
      ? { code, message, ...rest }
      : { code: 'ERR_INTERNAL' as const, message: `${message} (${code})`, ...rest },
  );
const fault = reason.exactOptional();

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_ACTIONS, code);

const details = z
  .record(text, z.union([z.number(), text, z.boolean()]))
  .refine((entries) => Object.keys(entries).length <= 256);

const source = z.object({
  name: text,
  kind: text,
  required: z.boolean(),
  state: z.enum(['starting', 'ok', 'degraded', 'failed', 'absent', 'ended', 'stopped']),
  reason: fault,
  basis: z.object({ simulated: z.boolean(), degraded: z.boolean(), physical: z.boolean() }),
  details,
  bytes: count,
  events: count,
  lastHeard: time.exactOptional(),
});

const outlet = z.object({
  name: text,
  kind: text,
  state: z.enum(['waiting', 'ok', 'failed', 'stopped']),
  reason: fault,
  bytes: count,
  details,
});

const generator = z.object({
  schedule: text,
  seeded: z.boolean(),
  reseeds: count,
  directReseeds: count,
  lastReseed: time.exactOptional(),
  pools: list(z.object({ bytes: count, drains: count }), 64),
  tick: count.exactOptional(),
});

const listener = z.object({
  connections: count,
  handshakes: z.object({ done: count, begun: count, waiting: count, silent: count }),
  queued: count,
  refused: z.record(z.enum(REFUSED_REASONS), count),
});

const role = z.enum(ROLES);
const refusedByCode = z.record(text, count).refine((codes) => Object.keys(codes).length <= 256);

const fleet = z.object({
  certificate: z.object({
    name: text,
    role,
    serial: text,
    notAfter: time,
    renewsAt: time.exactOptional(),
    reason: fault,
  }),
  peers: z.object({
    identities: count,
    refused: z.object({ quota: count, connections: count, revoked: count, identities: count }),
    top: list(
      z.object({
        role,
        name: text,
        connections: count,
        beacons: count,
        feedBytes: count,
        refused: count,
      }),
    ),
  }),
  policy: z
    .object({
      from: z.enum(['folder', 'authority', 'none']),
      revokedNames: count,
      revokedSerials: count,
      quotas: count,
      changedAt: time.exactOptional(),
      reason: fault,
    })
    .exactOptional(),
  renewals: z.object({ renewed: count, refused: count }).exactOptional(),
  enrolment: z.object({ enrolled: count, refused: refusedByCode }).exactOptional(),
  audit: z.object({ file: text, records: count, lost: count, reason: fault }).exactOptional(),
});

const nodeStatus: z.ZodType<NodeStatus> = z.object({
  version: z.literal(STATUS_VERSION),
  name: text,
  software: text,
  pid: count,
  state: z.enum(['starting', 'ready', 'degraded', 'stopping']),
  reasons: list(reason),
  uptimeMs: count,
  basis: list(text, 8),
  listen: z.object({ host: text, port: count }).exactOptional(),
  generator,
  rest: list(z.object({ name: text, kind: text, reachedAt: time, isSecret: z.boolean() })),
  listener: listener.exactOptional(),
  residentMemoryBytes: count,
  hedge: z.object({ state: z.enum(['on', 'degraded', 'off']), reason: fault }),
  resume: z
    .object({
      count,
      at: time,
      sign: text,
      os: z.enum(['fresh', 'may repeat', 'failed']),
      undone: list(z.object({ step: text, reason: text }), 16),
    })
    .exactOptional(),
  carriers: list(
    z.object({
      name: text,
      lines: count,
      sessions: count,
      garbageBytes: count,
      refused: count,
      reason: fault,
    }),
  ).exactOptional(),
  fleet: fleet.exactOptional(),
  guests: z
    .object({
      socket: text,
      told: count,
      refused: count,
      qmp: list(z.object({ guest: text, following: z.boolean(), resumes: count, fault })),
    })
    .exactOptional(),
  sources: list(source),
  outlets: list(outlet),
  configuration: z.object({ file: text, reloads: count, reloadError: fault }),
});
