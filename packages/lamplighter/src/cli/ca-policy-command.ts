import { LamplighterError } from '@lamplighter/core';
import type { Command } from 'commander';
import { type Quota, QUOTA_BOUNDS, QUOTA_FIELDS } from '../identity/policy.js';
import { integer } from './option-parsers.js';
import { during } from './progress.js';
import { answer, explain, say } from './terminal.js';

interface RevokeOptions {
  ca: string;
  name?: string;
  butNewest?: true;
  serial?: string;
  reason?: string;
}

interface QuotaOptions extends Partial<Quota> {
  ca: string;
  name: string;
  remove?: true;
}

const CA = ['--ca <dir>', 'the CA’s folder, as made by `ca init`'] as const;
const SOON = 'nodes that have the CA’s folder or follow its node know at once';

const QUOTA_WORDS: Readonly<Record<keyof Quota, string>> = {
  beaconsPerMinute: 'beacons that come back in a minute',
  beaconBurst: 'beacons at once after a pause',
  feedBytesPerMinute: 'feed bytes that come back in a minute; a frame is 88',
  feedBurstBytes: 'feed bytes at once after a pause',
  connections: 'connections at one moment',
};

/** `lamplighter ca revoke`, `ca unrevoke`, `ca quota` and `ca policy`, below `lamplighter ca`. */
export function addPolicyCommands(ca: Command): void {
  ca.command('revoke')
    .description('let a machine, or one certificate, in no more: open connections end too')
    .requiredOption(...CA)
    .option('--name <name>', 'this name and all its certificates')
    .option('--but-newest', 'with --name: only its certificates, and not the one issued last')
    .option('--serial <hex>', 'this certificate')
    .option('--reason <text>', 'why, for `ca policy`')
    .action(revoke);

  ca.command('unrevoke')
    .description('give a revoked name free, to be enrolled again; its old certificates stay revoked')
    .requiredOption(...CA)
    .requiredOption('--name <name>', 'the name')
    .action(unrevoke);

  const quota = ca
    .command('quota')
    .description('allow one name more or less than its role has; replaces what it was allowed before')
    .requiredOption(...CA)
    .requiredOption('--name <name>', 'the name')
    .option('--remove', 'back to what its role has');
  for (const field of QUOTA_FIELDS) {
    const { least, most } = QUOTA_BOUNDS[field];
    quota.option(`--${flagOf(field)} <n>`, QUOTA_WORDS[field], integer(least, most));
  }
  quota.action(setOrRemoveQuota);

  ca.command('policy')
    .description('list who is revoked and who has a quota of its own')
    .requiredOption(...CA)
    .option('--json', 'print one object')
    .option('--prune', 'first remove certificates that expired more than a day ago, by this machine’s clock')
    .action(list);
}

async function revoke({ ca, name, serial, butNewest, reason }: RevokeOptions): Promise<void> {
  if ((name === undefined) === (serial === undefined) || (butNewest && name === undefined)) {
    throw new LamplighterError('ERR_USAGE', 'either --name, with or without --but-newest, or --serial');
  }
  const changes = await import('../identity/policy-changes.js');
  if (serial !== undefined) {
    const revoked = await changes.revokeSerial(ca, serial, reason);
    answer(`${revoked.serial} is revoked`);
    say(
      revoked.name === undefined
        ? 'lamplighter: the register does not know it: check that it was typed right'
        : `lamplighter: it is a certificate of ${revoked.name}, whose name and other certificates stay good; ${SOON}`,
    );
  } else if (name !== undefined && butNewest) {
    const { kept, revoked } = await changes.revokeAllButNewest(ca, name, reason);
    for (const old of revoked) answer(`${old} is revoked`);
    say(`lamplighter: ${revoked.length} certificates of ${name} revoked, ${kept} stays good; ${SOON}`);
  } else if (name !== undefined) {
    const serials = await changes.revokeName(ca, name, reason);
    answer(`${name} is revoked`);
    say(
      serials.length === 0
        ? `lamplighter: the register knows no unexpired certificate of ${name}: it is revoked all the same; check that it was typed right`
        : `lamplighter: with ${serials.length} ${serials.length === 1 ? 'certificate' : 'certificates'}; ${SOON}`,
    );
  }
}

async function unrevoke({ ca, name }: { ca: string; name: string }): Promise<void> {
  const { unrevokeName } = await import('../identity/policy-changes.js');
  if (!(await unrevokeName(ca, name))) {
    say(`lamplighter: ${name} was not revoked`);
    return;
  }
  answer(`${name} is free`);
  say('lamplighter: its old certificates stay revoked: enrol it again, or issue it another');
}

async function setOrRemoveQuota({ ca, name, remove, ...given }: QuotaOptions): Promise<void> {
  const { removeQuota, setQuota } = await import('../identity/policy-changes.js');
  const isNothing = Object.keys(given).length === 0;
  if (isNothing !== (remove === true)) {
    throw new LamplighterError('ERR_USAGE', 'either --remove, or at least one number');
  }
  if (remove === true) {
    if (!(await removeQuota(ca, name))) say(`lamplighter: ${name} had no quota of its own`);
    answer(`${name} has what its role has`);
    return;
  }
  await setQuota(ca, name, given);
  answer(`${name} has ${words(given)}`);
}

async function list({ ca, json, prune }: { ca: string; json?: true; prune?: true }): Promise<void> {
  const { listPolicy, prunePolicy } = await import('../identity/policy-list.js');
  if (prune) say(`lamplighter: ${await prunePolicy(ca)} expired certificates removed`);
  const { entries, strange } = await during('reading the policy', listPolicy(ca));
  const faults = [...strange, ...entries.flatMap(({ fault }) => fault ?? [])];
  if (json) {
    const of = (kind: string): object[] =>
      entries
        .filter((entry) => entry.kind === kind)
        .map((entry) => ({ [kind === 'serial' ? 'serial' : 'name']: entry.of, ...entry.details }));
    answer(
      JSON.stringify({
        names: of('name'),
        serials: of('serial'),
        quotas: of('quota'),
        faults: faults.map(({ message }) => message),
      }),
    );
  } else {
    for (const { kind, of, details } of entries) {
      const { at = 'some time', reason, notAfter, quota } = details;
      const what =
        kind === 'quota' ? words(quota ?? {}) : notAfter === undefined ? '' : `it expires ${notAfter}`;
      const parts = [kind === 'quota' ? `set ${at}` : `revoked ${at}`, what, reason ?? ''];
      answer(`${kind.padEnd(6)} ${of}  ${parts.filter((part) => part !== '').join(', ')}`);
    }
  }
  for (const fault of faults) process.exitCode = explain(fault);
}

const words = (quota: Partial<Quota>): string =>
  QUOTA_FIELDS.flatMap((field) =>
    quota[field] === undefined ? [] : [`${flagOf(field)} ${quota[field]}`],
  ).join(', ');

/** beaconsPerMinute is --beacons-per-minute. */
const flagOf = (field: keyof Quota): string =>
  field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
