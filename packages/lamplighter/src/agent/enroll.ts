import type { X509Certificate } from 'node:crypto';
import { resolve } from 'node:path';
import { LamplighterError, wipe } from '@lamplighter/core';
import type { Role } from '../identity/roles.js';
import { decodeToken, type Token, type TokenKeys, tokenKeys, wipeTokenKeys } from '../identity/token.js';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import { hedgeInput, hedgeOutput } from '../local/seed/tls-hedge.js';
import { askToEnroll, type EnrollAnswer, learnAuthority } from '../wire/enroll-client.js';
import { OutgoingConnections } from '../wire/outgoing.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason } from '../wire/status.js';
import { addressOf, type UnknownServer } from '../wire/upstream.js';
import type { BootReport } from './boot.js';
import { checkAnswer, type CheckedAnswer } from './enroll-answer.js';
import {
  enrollPaths,
  type EnrollPaths,
  forgetPending,
  inEnrollFolder,
  keepIdentity,
  pendingKey,
  type PendingKey,
} from './enroll-files.js';
import { configure, firstBoot } from './enroll-boot.js';
import type { EnrollDoors, EnrollOptions } from './enroll-options.js';
import { makeEnrolledSeed } from './enroll-seed.js';

export { DEFAULT_STATE, type EnrollDoors, type EnrollOptions } from './enroll-options.js';

/** What an enrolment did. No secret. */
export interface EnrollReport {
  readonly name: string;
  readonly role: Role;
  readonly serial: string;
  /** ISO 8601. */
  readonly notAfter: string;
  readonly identity: string;
  readonly ca: string;
  /** The agent's configuration, and whether it was written now; absent for roles that have no agent. */
  readonly config?: { readonly path: string; readonly made: boolean };
  /** Whether key and TLS drew on the token's secret. */
  readonly hedge: 'on' | 'off';
  readonly hedgeReason?: Reason;
  readonly seed: { readonly state: 'made' | 'replaced' | 'absent'; readonly reason?: Reason };
  /** Whether an attempt before this one was finished. */
  readonly resumed: boolean;
  /** The key-exchange group of the connection, where the runtime tells. */
  readonly group?: string;
  /** What the first boot did; absent when there was none. */
  readonly boot?: BootReport;
  readonly bootReason?: Reason;
}

/**
 * Joins a machine to a CA by a token: hedge, key, proof, certificate, seed, configuration, first boot, in this order.
 *
 * Source: DESIGN sections 7 and 8. Before the first key is made and the first TLS byte sent, this process's OpenSSL is reseeded with
 * HMAC-SHA-512(HKDF(token secret, "hedge"), x): without that, whoever knows what the OS RNG gives and records the enrolment
 * owns all that follows. The private key and the secret never leave the machine.
 *
 * It may be done again at any time, and is finished by doing it again with the same token: whatever fails, what was there before goes
 * on working.
 * @throws LamplighterError ERR_TOKEN_FORMAT, ERR_TOKEN_ROLE, ERR_HEDGE_OFF before anything is sent; ERR_ENROLL_CA; what `learnAuthority`,
 *   `askToEnroll` and `checkAnswer` throw; ERR_OUTPUT_FILE, ERR_STATE_DIRECTORY, ERR_STATE_FILE, ERR_SEED_BUSY. A first boot that fails is no
 *   error: the report says why
 */
export async function enroll(options: EnrollOptions, doors: EnrollDoors): Promise<EnrollReport> {
  const token = decodeToken(options.token);
  if (token.role !== options.role) {
    wipe(token.secret);
    throw new LamplighterError('ERR_TOKEN_ROLE', `the token is for role ${token.role}, not ${options.role}`, {
      hint: `say --role ${token.role}, or make a token for role ${options.role}`,
    });
  }
  const keys = tokenKeys(token.secret);
  wipe(token.secret);
  const paths = enrollPaths(resolve(options.folder));
  try {
    return await inEnrollFolder(paths, doors, () => enrollWith(token, keys, paths, options, doors));
  } finally {
    wipeTokenKeys(keys);
  }
}

async function enrollWith(
  token: Token,
  keys: TokenKeys,
  paths: EnrollPaths,
  options: EnrollOptions,
  doors: EnrollDoors,
): Promise<EnrollReport> {
  const { fs } = doors.environment;
  const keeper = new SeedKeeper(resolve(options.state), doors);
  const outgoing = new OutgoingConnections(doors.environment, () => undefined);
  const { before, ...hedge } = await hedgeFirst(keeper, keys.hedge, options, doors);
  let pending: PendingKey | undefined;
  let checked: CheckedAnswer;
  let answered: EnrollAnswer;
  let seed: EnrollReport['seed'];
  try {
    const hedged = { now: hedge.hedge, isRequired: options.requireHedge === true };
    pending = await pendingKey(paths, hex(token.id), hedged, fs);
    const { keyPem } = pending;
    if (pending.isResumed) options.onProgress('an attempt with this token was not finished: its key is used');
    const { authority, ...rest } = await ask(token, keys.proof, pending, options, outgoing);
    answered = rest;
    checked = checkAnswer(answered.answer, { authority, keyPem, role: token.role });
    // The seed first: should the disk fail in between, the old identity still goes with everything.
    seed = await makeSeed(keeper, keys.seed, before, options, doors);
    await keepIdentity(paths, { ...checked, keyPem }, fs);
  } finally {
    wipe(before, pending?.keyPem);
  }
  const { name, role, serial } = checked;
  const notAfter = checked.notAfter.toISOString();
  options.onProgress(`${role} ${name} has a certificate until ${notAfter}`);
  const config = role === 'machine' ? await configure(paths, options, answered, fs) : undefined;
  await forgetPending(paths, fs);
  const isBooted = config?.isThere === true && options.noBoot !== true;
  return {
    name,
    role,
    serial,
    notAfter,
    identity: paths.identity,
    ca: paths.ca,
    ...(config && { config: { path: paths.config, made: config.made } }),
    ...(pending.hedge === 'on' ? hedge : { hedge: 'off', hedgeReason: hedge.hedgeReason ?? MADE_WITHOUT }),
    seed,
    resumed: pending.isResumed,
    ...(answered.group !== undefined && { group: answered.group }),
    ...(isBooted && (await firstBoot(paths, options, doors, outgoing))),
  };
}

/** The old seed's use, if there is one, and then the token's: all that is random from here on rests on both. */
async function hedgeFirst(
  keeper: SeedKeeper,
  key: Uint8Array,
  { requireHedge, onProgress }: EnrollOptions,
  { environment, native }: EnrollDoors,
): Promise<{ before: Uint8Array | undefined; hedge: 'on' | 'off'; hedgeReason?: Reason }> {
  const before = await keeper.use();
  // Not a counter of ours that tells uses of one token apart, but what else is in x.
  const output = hedgeOutput(key, hedgeInput(environment, 0n));
  const done = native.reseedOpenssl(output);
  wipe(output);
  if (done.supported) {
    onProgress('keys and tls rest on the secret in the token');
    return { before, hedge: 'on' };
  }
  const off = new LamplighterError('ERR_HEDGE_OFF', `the hedge of keys and tls is off: ${done.reason}`, {
    hint: 'the native addon is needed: see `lamplighter doctor`',
  });
  if (requireHedge === true) {
    wipe(before);
    throw off;
  }
  onProgress(`WARNING: ${off.message}: key and tls are as good as what the OS gives, and no better`);
  return { before, hedge: 'off', hedgeReason: reasonOf(off) };
}

const MADE_WITHOUT: Reason = {
  code: 'ERR_HEDGE_OFF',
  message: 'the key was made by an attempt before this one, without the hedge',
  hint: 'enrol again with another token',
};

/** Two connections: one to learn the CA, believing nothing, and one that is verified with it. */
async function ask(
  token: Token,
  proofKey: Uint8Array,
  keys: PendingKey,
  options: EnrollOptions,
  outgoing: OutgoingConnections,
): Promise<EnrollAnswer & { readonly authority: X509Certificate }> {
  const { relay, peer, onProgress } = options;
  const server: UnknownServer = { url: relay, connect: (endpoint) => outgoing.connect(endpoint) };
  const authority = await learnAuthority(server, token.keyHash, options);
  onProgress(`${addressOf(relay).where} shows the CA that the token names`);
  const answered = await askToEnroll(
    {
      ...server,
      tls: { ca: Buffer.from(authority.toString()) },
      roles: ['relay', 'office'],
      ...(peer !== undefined && { name: peer }),
    },
    { token: hex(token.id), role: token.role, proofKey, keys },
    options,
  );
  return { ...answered, authority };
}

async function makeSeed(
  keeper: SeedKeeper,
  key: Uint8Array,
  before: Uint8Array | undefined,
  { signal, onProgress }: EnrollOptions,
  { environment }: EnrollDoors,
): Promise<EnrollReport['seed']> {
  try {
    await makeEnrolledSeed(keeper.store, environment, { key, before, signal });
    return { state: before === undefined ? 'made' : 'replaced' };
  } catch (error) {
    // Without the addon no seed can be locked, and so none is used either; that is no reason to have no certificate.
    if (!(error instanceof LamplighterError) || error.code !== 'ERR_HEDGE_OFF') throw error;
    onProgress(`WARNING: no machine seed was made: ${error.message}`);
    return { state: 'absent', reason: reasonOf(error) };
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
