import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { certificateLife, expiresSoon, renewalDueMs } from './certificate-life.js';
import { testAuthority } from './made-certificates.fixture.js';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 0, 1);

/** A certificate of ours, made at the start. */
const living = (lifeMs: number, fingerprint = new Uint8Array(32), backdateMs = 5 * MINUTE_MS) => ({
  notBefore: new Date(START_MS - backdateMs),
  notAfter: new Date(START_MS + lifeMs),
  identity: { role: 'machine' as const, name: 'web-1', serial: '00', fingerprint },
});

describe('the life of a certificate', () => {
  it('begins when it was made, not when it became valid, and is over to two thirds when it is renewed', () => {
    expect(certificateLife(living(30 * DAY_MS))).toEqual({
      issuedMs: START_MS,
      expiresMs: START_MS + 30 * DAY_MS,
      renewsMs: START_MS + 20 * DAY_MS,
    });
    expect(certificateLife(living(60_000))).toMatchObject({ renewsMs: START_MS + 40_000 });
  });

  it('of another CA, which does not backdate and makes them very short, begins at notBefore', () => {
    expect(certificateLife(living(4 * MINUTE_MS, undefined, 0))).toMatchObject({
      issuedMs: START_MS,
      renewsMs: START_MS + (8 / 3) * MINUTE_MS,
    });
  });

  it('is spread by a twentieth, always the same for one certificate', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (fingerprint) => {
        const one = living(60 * DAY_MS, fingerprint);
        const { renewsMs } = certificateLife(one);
        expect(renewsMs).toBeLessThanOrEqual(START_MS + 40 * DAY_MS);
        expect(renewsMs).toBeGreaterThan(START_MS + 37 * DAY_MS - 1);
        expect(certificateLife(one).renewsMs).toBe(renewsMs);
      }),
    );
    const last = certificateLife(living(60 * DAY_MS, new Uint8Array(32).fill(255)));
    expect(last.renewsMs).toBeLessThan(START_MS + 37.001 * DAY_MS);
  });

  it('is over soon in its last quarter, or in its last week', () => {
    const minute = living(60_000);
    expect(expiresSoon(minute, START_MS + 45_000)).toBe(false);
    expect(expiresSoon(minute, START_MS + 45_001)).toBe(true);
    const year = living(365 * DAY_MS);
    expect(expiresSoon(year, START_MS + 358 * DAY_MS)).toBe(false);
    expect(expiresSoon(year, START_MS + 358 * DAY_MS + 1)).toBe(true);
  });
});

describe('a certificate is due', () => {
  it('at once when its CA signs with another root meanwhile, as a list of ours says', async () => {
    const [old, next] = [await testAuthority('Old'), await testAuthority('Next')];
    const { cert } = await old.make();
    const due = (ca: string): number => renewalDueMs({ ...living(DAY_MS), cert, ca: Buffer.from(ca) });
    const atTwoThirds = certificateLife(living(DAY_MS)).renewsMs;
    const line = (sequence: number): string => `# lamplighter trust ${sequence}\n`;
    expect(due(`${line(3)}${next.pem}\n${old.pem}`)).toBe(0);
    expect(due(`${line(2)}${old.pem}\n${next.pem}`)).toBe(atTwoThirds);
    expect(due(`${line(1)}${old.pem}`)).toBe(atTwoThirds);
    // Not a list of ours: its order says nothing.
    expect(due(`${next.pem}\n${old.pem}`)).toBe(atTwoThirds);
  });
});
