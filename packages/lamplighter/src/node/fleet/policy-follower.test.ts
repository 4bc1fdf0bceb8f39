import fs from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAuthority } from '../../identity/authority.js';
import { type TestAuthority, testAuthority } from '../../identity/made-certificates.fixture.js';
import { NO_POLICY, type Policy } from '../../identity/policy.js';
import { revokeName, setQuota } from '../../identity/policy-changes.js';
import { policyDirectory } from '../../identity/policy-folder.js';
import { type Environment, systemEnvironment } from '../../local/environment.js';
import { type Loopback, loopback } from '../../wire/loopback.fixture.js';
import type { PolicyStatus } from '../../wire/policy.js';
import { type PolicyAuthority, PolicyFollower } from './policy-follower.js';
import { policyRoute } from './policy-route.js';

let folder: string;
let ca: string;
let authority: TestAuthority;
let relay: Loopback | undefined;
const followers: PolicyFollower[] = [];
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-follower-'));
  ca = join(folder, 'ca');
  await createAuthority({ directory: ca });
  authority = await testAuthority();
});
afterEach(async () => {
  await Promise.all(followers.splice(0).map((follower) => follower.stop()));
  await relay?.stop(0);
  relay = undefined;
  await fs.rm(folder, { recursive: true, force: true });
});

function follow(from: PolicyAuthority, environment: Environment = systemEnvironment()) {
  const follower = new PolicyFollower(from, environment);
  followers.push(follower);
  const policies: Policy[] = [];
  let wake = (): void => undefined;
  follower.onChange((policy) => {
    policies.push(policy);
    wake();
  });
  return {
    follower,
    policies,
    until: async (isSo: () => boolean): Promise<void> => {
      while (!isSo()) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

/** Until the status says so: a state that nobody is told of. */
async function status(
  follower: PolicyFollower,
  isSo: (status: PolicyStatus) => boolean,
): Promise<PolicyStatus> {
  for (;;) {
    const now = follower.status();
    if (isSo(now)) return now;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const restart = async (port: number): Promise<Loopback> => loopback({ authority, port });

async function node(port: number): Promise<PolicyAuthority> {
  return {
    kind: 'node',
    state: folder,
    upstream: {
      url: new URL(`https://127.0.0.1:${port}`),
      tls: await authority.material({ role: 'relay', name: 'follower' }),
      roles: ['office', 'relay'],
    },
  };
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Waits for the first policy are over at once. */
function impatient(): Environment {
  const system = systemEnvironment();
  const { timers } = system;
  return {
    ...system,
    timers: { ...timers, after: (delayMs, run) => timers.after(delayMs === 2_000 ? 1 : delayMs, run) },
  };
}

const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const counts = { revokedNames: 0, revokedSerials: 0, quotas: 0 };

describe('a CA', () => {
  it('knows at its start what was decided, and from then on what is', async () => {
    await revokeName(ca, 'web-1');
    const { follower, policies, until } = follow({ kind: 'ca', folder: ca });
    await follower.start();
    expect(follower.current()?.revokedNames).toEqual(new Set(['web-1']));
    await revokeName(ca, 'web-2');
    await until(() => policies.at(-1)?.revokedNames.size === 2);
    await setQuota(ca, 'web-3', { connections: 2 });
    await until(() => policies.at(-1)?.quotas.size === 1);
    expect(follower.status()).toEqual({
      from: 'folder',
      revokedNames: 2,
      revokedSerials: 0,
      quotas: 1,
      changedAt: matching(/^20\d\d-/),
    });
  });

  it('that has decided nothing yet has nobody to keep out, and hears of the first', async () => {
    const { follower, policies, until } = follow({ kind: 'ca', folder: ca });
    await follower.start();
    expect(follower.status()).toMatchObject({ from: 'folder', ...counts });
    expect(follower.status().reason).toBeUndefined();
    await revokeName(ca, 'web-1');
    await until(() => policies.at(-1)?.revokedNames.has('web-1') === true);
  });

  it('goes on with what it knows when its folder is gone, and says so', async () => {
    await revokeName(ca, 'web-1');
    const { follower } = follow({ kind: 'ca', folder: ca });
    await follower.start();
    await fs.rename(policyDirectory(ca), join(folder, 'aside'));
    const lost = await status(follower, ({ reason }) => reason !== undefined);
    expect(lost).toMatchObject({ from: 'folder', revokedNames: 1, reason: { code: 'ERR_POLICY_FILE' } });
    expect(follower.current()?.revokedNames).toEqual(new Set(['web-1']));
    await fs.rename(join(folder, 'aside'), policyDirectory(ca));
    await status(follower, ({ reason }) => reason === undefined);
  });

  it('says what is torn, and keeps out whom it is about', async () => {
    await revokeName(ca, 'web-1');
    await fs.writeFile(join(policyDirectory(ca), 'name-web-2.json'), '{"at"');
    const { follower } = follow({ kind: 'ca', folder: ca });
    await follower.start();
    expect(follower.current()?.revokedNames).toEqual(new Set(['web-1', 'web-2']));
    const { reason } = await status(follower, ({ reason }) => reason !== undefined);
    expect(reason).toMatchObject({
      code: 'ERR_POLICY_FILE',
      message: matching(/web-2.json is not JSON$/),
    });
  });
});

describe('a copy of a CA’s folder', () => {
  it('is followed, and nothing is written to it', async () => {
    const copy = join(folder, 'copy');
    await fs.mkdir(policyDirectory(copy), { recursive: true });
    await fs.writeFile(join(policyDirectory(copy), 'serial-AB.json'), '{"notAfter":"2020-01-01T00:00:00Z"}');
    const { follower, policies, until } = follow({ kind: 'copy', folder: copy });
    await follower.start();
    expect(follower.current()?.revokedSerials).toEqual(new Set(['AB']));
    await fs.writeFile(join(policyDirectory(copy), 'name-web-1.json'), '{}');
    await until(() => policies.at(-1)?.revokedNames.size === 1);
    expect((await fs.readdir(policyDirectory(copy))).sort()).toEqual(['name-web-1.json', 'serial-AB.json']);
  });

  it('that is missing is no policy of nobody: it is said loudly until it is there', async () => {
    const copy = join(folder, 'copy');
    await fs.mkdir(copy);
    const { follower, policies, until } = follow({ kind: 'copy', folder: copy });
    await follower.start();
    expect(follower.current()).toBeUndefined();
    expect(follower.status()).toMatchObject({
      from: 'none',
      reason: { code: 'ERR_POLICY_FILE', message: matching(/^no policy is known/) },
    });
    expect(await fs.readdir(copy)).toEqual([]);
    await fs.mkdir(policyDirectory(copy));
    await until(() => policies.length > 0);
    await status(follower, ({ reason }) => reason === undefined);
  });
});

describe('a node that follows another', () => {
  it('is told of everything, keeps it through a restart without the other, and says since when it is alone', async () => {
    relay = await restart(0);
    const { port } = relay;
    const source = follow({ kind: 'ca', folder: ca }).follower;
    await revokeName(ca, 'web-1');
    await source.start();
    policyRoute(relay.listener, source, systemEnvironment());

    const first = follow(await node(port));
    await first.follower.start();
    expect(first.follower.current()?.revokedNames).toEqual(new Set(['web-1']));
    await revokeName(ca, 'web-2');
    await first.until(() => first.policies.at(-1)?.revokedNames.size === 2);
    expect(first.follower.status()).toMatchObject({ from: 'authority', revokedNames: 2 });
    expect(first.follower.status().reason).toBeUndefined();

    await relay.stop(0);
    const alone = await status(first.follower, ({ reason }) => reason !== undefined);
    expect(alone).toMatchObject({
      from: 'authority',
      revokedNames: 2,
      reason: { code: 'ERR_POLICY_STALE', message: matching(/since 20\d\d-.*Z: /) },
    });
    await first.follower.stop();

    // Its copy is its own, and whole.
    expect((await fs.stat(join(folder, 'policy.json'))).mode & 0o777).toBe(0o600);
    const second = follow(await node(port));
    await second.follower.start();
    expect(second.follower.current()?.revokedNames).toEqual(new Set(['web-1', 'web-2']));
    await status(second.follower, ({ reason }) => reason?.code === 'ERR_POLICY_STALE');

    // The other is back, and has changed its mind meanwhile.
    await revokeName(ca, 'web-3');
    relay = await restart(port);
    policyRoute(relay.listener, source, systemEnvironment());
    await second.until(() => second.policies.at(-1)?.revokedNames.size === 3);
    await status(second.follower, ({ reason }) => reason === undefined);
  });

  it('does not wait for ever at its start, and names loudly that it knows nothing', async () => {
    const { follower } = follow(await node(await closedPort()), impatient());
    await follower.start();
    expect(follower.current()).toBeUndefined();
    const told = await status(follower, ({ reason }) => reason?.message.includes('ERR_UPSTREAM') === true);
    expect(told).toMatchObject({
      from: 'none',
      ...counts,
      reason: {
        code: 'ERR_POLICY_STALE',
        message: matching(/^no policy is known.*nobody is kept out/),
      },
    });
  });

  it.each([
    ['cut off', (text: string) => text.slice(0, -20)],
    ['changed', (text: string) => text.replace('"web-2"', '"web-1"')],
    ['empty', () => ''],
    ['garbage', () => '\u0000'],
  ])('does not believe a copy that is %s, says so, and writes it anew', async (_what, damage) => {
    relay = await restart(0);
    const { port } = relay;
    await revokeName(ca, 'web-1');
    await revokeName(ca, 'web-2');
    const source = follow({ kind: 'ca', folder: ca }).follower;
    await source.start();
    policyRoute(relay.listener, source, systemEnvironment());
    const first = follow(await node(port));
    await first.follower.start();
    await first.follower.stop();
    await relay.stop(0);
    const path = join(folder, 'policy.json');
    await fs.writeFile(path, damage(await fs.readFile(path, 'utf8')));

    const second = follow(await node(port), impatient());
    await second.follower.start();
    expect(second.follower.current()).toBeUndefined();
    expect(second.follower.status()).toMatchObject({
      from: 'none',
      reason: { code: 'ERR_POLICY_STALE', message: matching(/^no policy is known.*damaged/) },
    });
    relay = await restart(port);
    policyRoute(relay.listener, source, systemEnvironment());
    await second.until(() => second.policies.length > 0);
    await status(second.follower, ({ reason }) => reason === undefined);
    expect(await fs.readFile(path, 'utf8')).toContain('"web-2"');
  });

  it('says when it cannot keep its copy, and goes on', async () => {
    relay = await restart(0);
    policyRoute(
      relay.listener,
      { current: () => NO_POLICY, onChange: () => ({ remove: () => undefined }) },
      systemEnvironment(),
    );
    await fs.mkdir(join(folder, 'policy.json'));
    const { follower } = follow(await node(relay.port));
    await follower.start();
    const told = await status(follower, ({ reason, from }) => from === 'authority' && reason !== undefined);
    expect(told).toMatchObject({ reason: { code: 'ERR_STATE_FILE' } });
  });
});
