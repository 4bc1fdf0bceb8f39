import { type Policy, type Quota, readQuota } from '../identity/policy.js';
import type { Reason } from './reason.js';

/*
 * A policy on its way from one node to another, and on disk: lines of JSON, each an object with a `type`:
 *
 *   {"type":"snapshot","sequence":7}                 from here on everything is told
 *   {"type":"part","names":[…],"serials":[…],"quotas":{NAME:{…}}}       any number of them
 *   {"type":"complete","sequence":7,"entries":N}     that was everything; only now is it believed
 *   {"type":"change","after":7,"sequence":9,"add":{…},"remove":{…},"entries":N}   `add` is as a part; `remove` has lists of names
 *   {"type":"alive","sequence":9}                    nothing has changed
 *
 * A sequence is the sender's own and belongs to one connection. Keys we do not know are passed over, types are not.
 */

/** Where a policy is followed. */
export const POLICY_PATH = '/v1/policy';
/** The media type of its endless body. */
export const POLICY_CONTENT_TYPE = 'application/jsonl';
/** How often there is a line at least, ms. */
export const POLICY_HEARTBEAT_MS = 5_000;

/** Longer lines are refused. */
export const MAX_POLICY_LINE_BYTES = 65_536;
/** 256 names with their quotas are under 50 KiB. */
const ENTRIES_A_LINE = 256;

/** What a node knows of revocations and quotas. */
export interface PolicyStatus {
  /** Whence; `none`: nothing is known, and nobody is kept out. */
  readonly from: 'folder' | 'authority' | 'none';
  readonly revokedNames: number;
  readonly revokedSerials: number;
  readonly quotas: number;
  /** When it was last found to be another one, ISO 8601. */
  readonly changedAt?: string;
  /** ERR_POLICY_STALE, ERR_POLICY_FILE or ERR_STATE_FILE: what is wrong. What is known stays in force. */
  readonly reason?: Reason;
}

interface Entries {
  readonly names: readonly string[];
  readonly serials: readonly string[];
  readonly quotas: ReadonlyMap<string, Partial<Quota>>;
}

/**
 * A whole policy as lines.
 * @param sequence - a whole number that the sender gives it
 * @returns lines with their line feed, each at most {@link MAX_POLICY_LINE_BYTES}
 */
export function encodePolicy({ revokedNames, revokedSerials, quotas }: Policy, sequence: number): Buffer[] {
  const entries = revokedNames.size + revokedSerials.size + quotas.size;
  return [
    lineOf({ type: 'snapshot', sequence }),
    ...inParts(revokedNames).map((names) => lineOf({ type: 'part', names })),
    ...inParts(revokedSerials).map((serials) => lineOf({ type: 'part', serials })),
    ...inParts(quotas).map((some) => lineOf({ type: 'part', quotas: Object.fromEntries(some) })),
    lineOf({ type: 'complete', sequence, entries }),
  ];
}

/**
 * What makes one policy of another, as one line.
 * @returns undefined when it does not fit into a line: the whole policy has to be told
 */
export function encodePolicyChange(
  from: { readonly policy: Policy; readonly sequence: number },
  to: { readonly policy: Policy; readonly sequence: number },
): Buffer | undefined {
  const add = missing(from.policy, to.policy);
  const remove = missing(to.policy, from.policy);
  // A quota that is another one is added, which replaces it.
  const quotas = [...remove.quotas.keys()].filter((name) => !to.policy.quotas.has(name));
  if (sizeOf(add) + sizeOf(remove) > ENTRIES_A_LINE) return undefined;
  return lineOf({
    type: 'change',
    after: from.sequence,
    sequence: to.sequence,
    add: { ...add, quotas: Object.fromEntries(add.quotas) },
    remove: { ...remove, quotas },
    entries: to.policy.revokedNames.size + to.policy.revokedSerials.size + to.policy.quotas.size,
  });
}

/** The line that says that nothing has changed. */
export function encodePolicyAlive(sequence: number): Buffer {
  return lineOf({ type: 'alive', sequence });
}

/** Whether two policies say the same. */
export function isSamePolicy(one: Policy, other: Policy): boolean {
  return sizeOf(missing(one, other)) === 0 && sizeOf(missing(other, one)) === 0;
}

/** What `to` has and `from` has not. */
function missing(from: Policy, to: Policy): Entries {
  return {
    names: [...to.revokedNames].filter((name) => !from.revokedNames.has(name)),
    serials: [...to.revokedSerials].filter((serial) => !from.revokedSerials.has(serial)),
    quotas: new Map([...to.quotas].filter(([name, quota]) => !isSameQuota(quota, from.quotas.get(name)))),
  };
}

function isSameQuota(one: Partial<Quota>, other: Partial<Quota> | undefined): boolean {
  if (one === other) return true;
  return other !== undefined && JSON.stringify(readQuota(one)) === JSON.stringify(readQuota(other));
}

const sizeOf = ({ names, serials, quotas }: Entries): number => names.length + serials.length + quotas.size;

function inParts<T>(entries: Iterable<T>): T[][] {
  const all = [...entries];
  const count = Math.ceil(all.length / ENTRIES_A_LINE);
  return Array.from({ length: count }, (_, i) => all.slice(i * ENTRIES_A_LINE, (i + 1) * ENTRIES_A_LINE));
}

const lineOf = (value: object): Buffer => Buffer.from(`${JSON.stringify(value)}\n`);
