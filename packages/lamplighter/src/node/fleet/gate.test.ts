import { describe, expect, it } from 'vitest';
import { DEFAULT_QUOTAS, NO_POLICY, type Policy, type Quota } from '../../identity/policy.js';
import { type PeerIdentity, type Role, ROLES } from '../../identity/roles.js';
import { fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { PolicyGate } from './gate.js';

const QUOTA: Quota = {
  beaconsPerMinute: 60,
  beaconBurst: 3,
  feedBytesPerMinute: 6_000,
  feedBurstBytes: 200,
  connections: 2,
};
const QUOTAS: Readonly<Record<Role, Quota>> = {
  office: QUOTA,
  relay: QUOTA,
  service: QUOTA,
  machine: QUOTA,
  admin: QUOTA,
};

const peer = (name: string, role: Role = 'machine', serial = '40AB'): PeerIdentity => ({
  role,
  name,
  serial,
  fingerprint: new Uint8Array(32),
});

function newGate(maxIdentities = 100) {
  const environment = fixedEnvironment();
  return { environment, gate: new PolicyGate({ environment, quotas: QUOTAS, maxIdentities }) };
}

const revoking = (...names: string[]): Policy => ({ ...NO_POLICY, revokedNames: new Set(names) });

/** How many of so many beacons were had. */
function beacons(gate: PolicyGate, who: PeerIdentity, count: number): number {
  let had = 0;
  for (let i = 0; i < count; i++) {
    try {
      gate.spend(who, 'beacons', 1);
      had += 1;
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_QUOTA' });
    }
  }
  return had;
}

describe('quotas', () => {
  it('refuse the excess, and say exactly when to come again', () => {
    const { gate, environment } = newGate();
    const web = peer('web-1');
    expect(beacons(gate, web, 10)).toBe(3);
    expect(() => gate.spend(web, 'beacons', 1)).toThrow(
      expect.objectContaining({ code: 'ERR_QUOTA', retryAfterMs: 1_000 }),
    );
    environment.advance(999);
    expect(beacons(gate, web, 1)).toBe(0);
    environment.advance(1);
    expect(beacons(gate, web, 2)).toBe(1);
    gate.spend(web, 'feedBytes', 88);
    gate.spend(web, 'feedBytes', 88);
    expect(() => gate.spend(web, 'feedBytes', 88)).toThrow(expect.objectContaining({ retryAfterMs: 640 }));
  });

  it('belong to a role and a name: another certificate is no other budget, another name is', () => {
    const { gate } = newGate();
    expect(beacons(gate, peer('web-1', 'machine', '40AA'), 3)).toBe(3);
    expect(beacons(gate, peer('web-1', 'machine', '40BB'), 3)).toBe(0);
    expect(beacons(gate, peer('web-2', 'machine', '40AA'), 3)).toBe(3);
    expect(beacons(gate, peer('web-1', 'service', '40AA'), 3)).toBe(3);
  });

  it('count open connections', () => {
    const { gate } = newGate();
    const web = peer('web-1');
    gate.open(web);
    gate.open(peer('web-1', 'machine', '40BB'));
    expect(() => gate.open(web)).toThrow(expect.objectContaining({ code: 'ERR_TOO_MANY_CONNECTIONS' }));
    gate.open(peer('web-2'));
    gate.close(web);
    gate.open(web);
    expect(() => gate.close(peer('nobody'))).toThrow(TypeError);
    expect(gate.status().refused).toMatchObject({ connections: 1 });
  });

  it('are those of a name where the policy has them, from the moment it is in force', () => {
    const { gate } = newGate();
    const web = peer('web-1');
    expect(beacons(gate, web, 10)).toBe(3);
    gate.open(web);
    gate.apply({
      ...NO_POLICY,
      quotas: new Map([['web-1', { beaconBurst: 10, beaconsPerMinute: 600, connections: 1 }]]),
    });
    expect(beacons(gate, web, 10)).toBe(7);
    expect(() => gate.open(web)).toThrow(expect.objectContaining({ code: 'ERR_TOO_MANY_CONNECTIONS' }));
    expect(beacons(gate, peer('web-1', 'service'), 20)).toBe(10);
    gate.apply(NO_POLICY);
    expect(beacons(gate, web, 1)).toBe(0);
    gate.open(web);
  });

  it('never ask for the clock that people set', () => {
    const environment = fixedEnvironment();
    const realtimeNs = (): bigint => {
      throw new Error('somebody asked for it');
    };
    const watched = { ...environment, realtimeNs };
    const gate = new PolicyGate({ environment: watched, quotas: QUOTAS });
    gate.open(peer('web-1'));
    expect(beacons(gate, peer('web-1'), 9)).toBe(3);
    environment.advance(1_000);
    expect(beacons(gate, peer('web-1'), 9)).toBe(1);
    gate.apply(revoking('web-2'));
    expect(gate.status().identities).toBe(1);
  });

  it('of the defaults leave an agent alone that boots, fails, resumes and refreshes, 300 of one name', () => {
    const environment = fixedEnvironment();
    const gate = new PolicyGate({ environment, quotas: DEFAULT_QUOTAS });
    const web = peer('web-1');
    // All of them boot in one second, and then refresh every ten minutes for two hours.
    expect(beacons(gate, web, 300)).toBe(300);
    for (let i = 0; i < 300 * 12; i++) {
      environment.advance(2_000);
      expect(beacons(gate, web, 1)).toBe(1);
    }
    // One of them, alone, whose every attempt fails after the beacon: 2 s, 4 s, 8 s …
    for (let waitMs = 2_000; waitMs < 600_000; waitMs *= 2) {
      expect(beacons(gate, peer('web-2'), 2)).toBe(2);
      environment.advance(waitMs);
    }
  });
});

describe('revocation', () => {
  it('is in force with the policy, for connections and requests, by name and by serial', () => {
    const { gate } = newGate();
    const [one, two] = [peer('web-1'), peer('web-2', 'machine', '0C')];
    gate.open(one);
    gate.admit(one);
    gate.apply({ ...revoking('web-1'), revokedSerials: new Set(['C']) });
    for (const who of [one, two]) {
      expect(gate.isRevoked(who)).toBe(true);
      expect(() => gate.open(who)).toThrow(expect.objectContaining({ code: 'ERR_REVOKED' }));
      expect(() => gate.admit(who)).toThrow(expect.objectContaining({ code: 'ERR_REVOKED' }));
    }
    // What was open before is counted until it is closed.
    gate.close(one);
    expect(gate.status().refused.revoked).toBe(4);
    gate.apply(NO_POLICY);
    gate.open(one);
  });
});

describe('the number of identities', () => {
  it('is bounded: whoever has spent nothing for long is forgotten, whoever is in debt or connected never', () => {
    const { gate, environment } = newGate(3);
    const [indebted, connected, idle] = [peer('indebted'), peer('connected', 'service'), peer('idle')];
    expect(beacons(gate, indebted, 9)).toBe(3);
    gate.open(connected);
    gate.open(idle);
    gate.close(idle);
    gate.spend(peer('new-1'), 'beacons', 1);
    expect(gate.status().identities).toBe(3);
    for (const who of [peer('new-2'), peer('new-3', 'relay')]) {
      expect(() => gate.open(who)).toThrow(expect.objectContaining({ code: 'ERR_OVERLOADED' }));
    }
    expect(beacons(gate, indebted, 9)).toBe(0);
    expect(gate.status()).toMatchObject({ identities: 3, refused: { identities: 2 } });

    environment.advance(1_000);
    gate.open(peer('new-2'));
    // new-1 had its budget back; the other two are still known.
    expect(beacons(gate, indebted, 9)).toBe(1);
    gate.close(connected);
    expect(gate.status().identities).toBe(3);
  });

  it('does not make a flood of names cost more than its share', () => {
    const { gate, environment } = newGate(1_000);
    for (let i = 0; i < 20_000; i++) {
      gate.spend(peer(`web-${i}`), 'beacons', 1);
      environment.advance(2);
    }
    expect(gate.status().identities).toBeLessThanOrEqual(1_000);
    expect(gate.status().refused).toMatchObject({ identities: 0, quota: 0 });
  });

  it('gives a flooding identity nothing of what others may take', () => {
    const { gate, environment } = newGate();
    let had = 0;
    for (let i = 0; i < 10_000; i++) {
      had += beacons(gate, peer('flood'), 1);
      if (i % 100 === 0) expect(beacons(gate, peer(`quiet-${i}`, ROLES[i % 5] ?? 'machine'), 1)).toBe(1);
      environment.advance(1);
    }
    expect(had).toBe(3 + 10 - 1);
  });
});

describe('status', () => {
  it('names those who took most, at most ten', () => {
    const { gate } = newGate();
    for (let i = 0; i < 30; i++) gate.spend(peer(`web-${i}`), 'feedBytes', 1 + i);
    gate.open(peer('web-7'));
    gate.spend(peer('web-7'), 'beacons', 3);
    beacons(gate, peer('web-7'), 2);
    const { top, identities, refused } = gate.status();
    expect(identities).toBe(30);
    expect(top).toHaveLength(10);
    expect(top[0]).toEqual({
      role: 'machine',
      name: 'web-7',
      connections: 1,
      beacons: 3,
      feedBytes: 8,
      refused: 2,
    });
    expect(top[1]).toMatchObject({ name: 'web-29' });
    expect(refused.quota).toBe(2);
  });

  it('lists what everybody has taken, with no bound but that of who is remembered', () => {
    const { gate } = newGate();
    gate.spend(peer('web-1'), 'beacons', 2);
    gate.spend(peer('web-1', 'service'), 'feedBytes', 9);
    for (let i = 0; i < 98; i++) gate.spend(peer(`quiet-${i}`), 'beacons', 1);
    const taken = [...gate.taken()];
    expect(taken).toHaveLength(100);
    expect(taken).toContainEqual({ role: 'machine', name: 'web-1', beacons: 2 });
    expect(taken).toContainEqual({ role: 'service', name: 'web-1', beacons: 0 });
  });
});
