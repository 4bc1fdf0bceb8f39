import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isLoopback, networkOf } from './network.js';

describe('networkOf', () => {
  it.each<[string | undefined, string]>([
    [undefined, ''],
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['::', '0:0:0:0::/64'],
    ['1::', '1:0:0:0::/64'],
    ['2001:DB8:0:00a::5', '2001:db8:0:a::/64'],
    ['2001:db8::a:0:0:5', '2001:db8:0:0::/64'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4::/64'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64'],
    ['1:2:3::4:192.0.2.33', '1:2:3:0::/64'],
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ])('of %s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it('is the first four groups however the address is written', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const key = networkOf(address);
        expect(key.endsWith('::/64') || /^\d+\.\d+\.\d+\.\d+$/.test(key)).toBe(true);
        // The URL standard writes one address in one way.
        const same = new URL(`http://[${address}]/`).hostname.slice(1, -1);
        if (!key.includes('.')) expect(networkOf(same)).toBe(key);
      }),
    );
  });
});

it('loopback is what always means this machine', () => {
  for (const name of ['localhost', '::1', '127.0.0.1', '127.255.0.1'])
    expect(isLoopback(name), name).toBe(true);
  for (const name of [
    '0.0.0.0',
    '::',
    '127.0.0.1.x',
    '127.1',
    '128.0.0.1',
    '',
    '127.0.0.256',
    '::ffff:127.0.0.1',
  ])
    expect(isLoopback(name), name).toBe(false);
});
