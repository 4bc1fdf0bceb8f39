import { beforeEach, describe, expect, it } from 'vitest';
import { type FixedEnvironment, fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { FailedAttempts } from './failed-attempts.js';

let environment: FixedEnvironment;
let attempts: FailedAttempts;
beforeEach(() => {
  environment = fixedEnvironment();
  attempts = new FailedAttempts(environment);
});

const fail = (address: string | undefined, times: number): void => {
  for (let done = 0; done < times; done += 1) attempts.note(address);
};

describe('failed attempts', () => {
  it('make an address wait for the rest of the minute, after thirty', () => {
    fail('192.0.2.1', 29);
    expect(attempts.waitMs('192.0.2.1')).toBe(0);
    environment.advance(20_000);
    fail('192.0.2.1', 1);
    expect(attempts.waitMs('192.0.2.1')).toBe(40_000);
    expect(attempts.waitMs('192.0.2.2')).toBe(0);
    environment.advance(39_999);
    expect(attempts.waitMs('192.0.2.1')).toBe(1);
    environment.advance(1);
    expect(attempts.waitMs('192.0.2.1')).toBe(0);
  });

  it('of one IPv6 /64 are counted together, and of an IPv4 address in either form', () => {
    fail('2001:db8::1', 15);
    fail('2001:db8:0:0:ffff::2', 15);
    expect(attempts.waitMs('2001:db8::3')).toBeGreaterThan(0);
    expect(attempts.waitMs('2001:db8:0:1::3')).toBe(0);
    fail('::ffff:192.0.2.1', 30);
    expect(attempts.waitMs('192.0.2.1')).toBeGreaterThan(0);
  });

  it('of whoever has no address are counted together', () => {
    fail(undefined, 30);
    expect(attempts.waitMs(undefined)).toBeGreaterThan(0);
  });

  it('of many addresses make wait who has failed, and nobody else', () => {
    for (let host = 0; host < 600; host += 1) fail(`198.51.${host >> 8}.${host & 255}`, 1);
    expect(attempts.waitMs('198.51.0.7')).toBeGreaterThan(0);
    expect(attempts.waitMs('192.0.2.1')).toBe(0);
  });

  it('are remembered of 10,000 addresses and no more', () => {
    for (let host = 0; host < 10_050; host += 1) fail(`10.0.${host >> 8}.${host & 255}`, 1);
    expect(attempts.waitMs('10.0.0.0')).toBeGreaterThan(0);
    expect(attempts.waitMs(`10.0.${10_049 >> 8}.${10_049 & 255}`)).toBe(0);
  });
});
