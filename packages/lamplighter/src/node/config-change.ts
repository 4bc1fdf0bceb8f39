import { isDeepStrictEqual } from 'node:util';
import { LamplighterError } from '@lamplighter/core';
import type { NodeConfig } from './config.js';

/** What is bound when a node starts; another value needs another start. */
const FIXED_KEYS = [
  'name',
  'state',
  'schedule',
  'listen',
  'carriers',
  'admin',
  'log',
  'authority',
  'quotas',
  'audit',
  'guests',
] as const;

/**
 * Refuses what a running node cannot follow.
 * @throws LamplighterError ERR_CONFIG naming the keys
 */
export function refuseFixedChanges(before: NodeConfig, after: NodeConfig): void {
  const changed = FIXED_KEYS.filter((key) => !isDeepStrictEqual(before[key], after[key]));
  if ((before.tls === undefined) !== (after.tls === undefined)) changed.push('tls' as never);
  if (changed.length === 0) return;
  throw new LamplighterError('ERR_CONFIG', `cannot change while running: ${changed.join(', ')}`, {
    hint: 'restart the node for these; sources, outlets, certificates and deadlines can be reloaded',
  });
}

/**
 * Compares entries by name.
 * @returns `gone`: names to stop (left out, or changed); `fresh`: entries to start (new, or changed)
 */
export function changedEntries<E extends { readonly name: string }>(
  before: readonly E[],
  after: readonly E[],
): { gone: string[]; fresh: E[] } {
  const same = (a: E, others: readonly E[]): boolean => others.some((b) => isDeepStrictEqual(a, b));
  return {
    gone: before.filter((entry) => !same(entry, after)).map(({ name }) => name),
    fresh: after.filter((entry) => !same(entry, before)),
  };
}
