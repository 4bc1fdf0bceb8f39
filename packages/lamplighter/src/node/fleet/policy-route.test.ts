import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NO_POLICY, type Policy } from '../../identity/policy.js';
import { type Environment, systemEnvironment } from '../../local/environment.js';
import { request } from '../../wire/client.js';
import { type Loopback, loopback } from '../../wire/loopback.fixture.js';
import { POLICY_HEARTBEAT_MS, POLICY_PATH } from '../../wire/policy.js';
import { followPolicy } from '../../wire/policy-client.js';
import { policyRoute } from './policy-route.js';

const revoking = (...names: string[]): Policy => ({ ...NO_POLICY, revokedNames: new Set(names) });

/** A policy that a test decides. */
class Decided {
  policy: Policy | undefined;
  readonly listeners = new Set<() => void>();

  constructor(policy: Policy | undefined) {
    this.policy = policy;
  }

  current(): Policy | undefined {
    return this.policy;
  }

  onChange(listener: () => void): { remove(): void } {
    this.listeners.add(listener);
    return { remove: () => this.listeners.delete(listener) };
  }

  become(policy: Policy): void {
    this.policy = policy;
    for (const listener of this.listeners) listener();
  }
}

let relay: Loopback;
const stops: (() => Promise<void>)[] = [];
beforeEach(async () => {
  relay = await loopback();
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  await relay.stop(0);
});

/** A node that follows, and a wait for what it believes. */
async function follower(environment: Environment = systemEnvironment()) {
  const policies: Policy[] = [];
  const faults: unknown[] = [];
  let wake = (): void => undefined;
  const stopping = new AbortController();
  const done = followPolicy(
    await relay.upstream('relay'),
    {
      environment,
      onPolicy: (policy) => {
        policies.push(policy);
        wake();
      },
      onFault: (error) => {
        faults.push(error);
        wake();
      },
    },
    stopping.signal,
  );
  stops.push(() => {
    stopping.abort();
    return done;
  });
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { policies, faults, until };
}

describe('policyRoute', () => {
  it('tells every follower the whole, and then every change', async () => {
    const decided = new Decided(revoking('web-1'));
    policyRoute(relay.listener, decided, systemEnvironment());
    const [one, two] = [await follower(), await follower()];
    for (const { policies, until } of [one, two]) {
      await until(() => policies.length === 1);
      expect(policies[0]).toEqual(revoking('web-1'));
    }
    decided.become({ ...revoking('web-2'), quotas: new Map([['web-3', { connections: 2 }]]) });
    for (const { policies, until } of [one, two]) {
      await until(() => policies.length === 2);
      expect(policies[1]).toEqual({ ...revoking('web-2'), quotas: new Map([['web-3', { connections: 2 }]]) });
    }
    // A change of nothing is told to nobody; one that fits into no line is told as a whole.
    decided.become({ ...revoking('web-2'), quotas: new Map([['web-3', { connections: 2 }]]) });
    const many = revoking(...Array.from({ length: 1_000 }, (_, i) => `n${i}`));
    decided.become(many);
    await one.until(() => one.policies.length === 3);
    expect(one.policies[2]).toEqual(many);
    expect([...one.faults, ...two.faults]).toEqual([]);
  });

  it('is not taken for a policy of nobody while none is known', async () => {
    const decided = new Decided(undefined);
    policyRoute(relay.listener, decided, systemEnvironment());
    const { policies, faults, until } = await follower();
    await until(() => faults.length > 0);
    expect(faults[0]).toMatchObject({ code: 'ERR_UPSTREAM_NOT_READY' });
    expect(policies).toEqual([]);
    decided.become(NO_POLICY);
    await until(() => policies.length === 1);
  });

  it('says that it lives when nothing changes', async () => {
    const system = systemEnvironment();
    const due: { delayMs: number; run: () => void }[] = [];
    const beating: Environment = {
      ...system,
      timers: {
        ...system.timers,
        after: (delayMs, run) => {
          due.push({ delayMs, run });
          return { cancel: () => undefined };
        },
      },
    };
    policyRoute(relay.listener, new Decided(NO_POLICY), beating);
    const { body } = await request(await relay.upstream('office'), {
      method: 'GET',
      path: POLICY_PATH,
      deadlineMs: 5_000,
    });
    let text = '';
    const lines = async (count: number): Promise<void> => {
      while (text.split('\n').length <= count) {
        const chunk = await new Promise<Buffer>((resolve) => body.once('data', resolve));
        text += chunk.toString();
      }
    };
    await lines(2);
    for (let beats = 1; beats <= 3; beats++) {
      while (due.length === 0) await new Promise((resolve) => setImmediate(resolve));
      const { delayMs, run } = due.splice(0)[0] ?? { delayMs: 0, run: () => undefined };
      expect(delayMs).toBe(POLICY_HEARTBEAT_MS);
      run();
      await lines(2 + beats);
    }
    expect(text.split('\n').slice(2)).toEqual([
      ...Array<string>(3).fill('{"type":"alive","sequence":1}'),
      '',
    ]);
    body.destroy();
  });

  it.each(['service', 'machine', 'admin'] as const)('is none of a %s’s business', async (role) => {
    policyRoute(relay.listener, new Decided(revoking('web-1')), systemEnvironment());
    const { status, body } = await request(await relay.upstream(role), {
      method: 'GET',
      path: POLICY_PATH,
      deadlineMs: 5_000,
    });
    expect(status).toBe(403);
    body.destroy();
  });

  it('ends its followers when it is taken off, and leaves nothing behind', async () => {
    const decided = new Decided(NO_POLICY);
    const route = policyRoute(relay.listener, decided, systemEnvironment());
    const { policies, faults, until } = await follower();
    await until(() => policies.length === 1);
    route.remove();
    await until(() => faults.length > 0);
    expect(decided.listeners.size).toBe(0);
  });
});
