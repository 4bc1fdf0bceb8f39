import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DRAND_CHAINS, DRAND_RELAYS, type DrandChain, checkedChain, lengthsOf, roundTimeS } from './chain.js';
import { parseRelayUrl } from './relay.js';

/** `groupHash` of `/info`. Source: docs.drand.love, HTTP API (default); drand-client, lib/defaults.ts (quicknet). */
const GROUPS: Readonly<Record<keyof typeof DRAND_CHAINS, string>> = {
  default: '176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a',
  quicknet: 'f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e',
};

/** Source: drand, chain/info.go, Hash. A chain's name belongs to it, but for the default one, which is older than names. */
function chainHash(name: keyof typeof DRAND_CHAINS): string {
  const { times, publicKey }: Required<DrandChain> = DRAND_CHAINS[name];
  const head = Buffer.alloc(12);
  head.writeUInt32BE(times.periodS);
  head.writeBigInt64BE(BigInt(times.genesisS), 4);
  const hash = createHash('sha256').update(head).update(publicKey, 'hex').update(GROUPS[name], 'hex');
  if (name !== 'default') hash.update(name);
  return hash.digest('hex');
}

describe('the League of Entropy’s chains', () => {
  it.each(['default', 'quicknet'] as const)(
    '%s: the hash is that of period, genesis, key, group and name',
    (name) => {
      expect(chainHash(name)).toBe(DRAND_CHAINS[name].hash);
      expect(checkedChain(DRAND_CHAINS[name])).toBe(DRAND_CHAINS[name]);
    },
  );

  it('round 1 comes at genesis', () => {
    expect(roundTimeS(DRAND_CHAINS.quicknet.times, 1)).toBe(1_692_803_367);
    expect(roundTimeS(DRAND_CHAINS.default.times, 2_634_945)).toBe(1_595_431_050 + 2_634_944 * 30);
  });

  it('relays are addresses that we take', () => {
    for (const relay of DRAND_RELAYS) expect(parseRelayUrl(relay).protocol).toBe('https:');
  });
});

describe('a chain of one’s own', () => {
  const chain: DrandChain = DRAND_CHAINS.quicknet;

  it.each<[string, Partial<DrandChain>]>([
    ['a hash that is too short', { hash: chain.hash.slice(2) }],
    ['a hash in capitals', { hash: chain.hash.toUpperCase() }],
    ['a key of the other group', { publicKey: DRAND_CHAINS.default.publicKey }],
    ['a key that is no hex', { publicKey: 'x'.repeat(192) }],
    ['a scheme for the other group', { scheme: 'pedersen-bls-unchained' }],
    ['no period', { times: { genesisS: 0, periodS: 0 } }],
    ['half a second', { times: { genesisS: 0.5, periodS: 1 } }],
    ['a time before 1970', { times: { genesisS: -1, periodS: 1 } }],
  ])('is refused with %s', (_what, change) => {
    expect(() => checkedChain({ ...chain, ...change })).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIG' }) as Error,
    );
  });

  it('has keys and signatures of its scheme’s groups', () => {
    expect(lengthsOf('pedersen-bls-chained')).toEqual({ keyBytes: 48, signatureBytes: 96 });
    expect(lengthsOf('bls-unchained-g1-rfc9380')).toEqual({ keyBytes: 96, signatureBytes: 48 });
  });

  it.each(['ftp://relay', 'relay', 'https://user@relay', 'https://relay/?q', 'https://relay/#x', ''])(
    'is not asked for at %j',
    (text) => {
      expect(() => parseRelayUrl(text)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }) as Error);
    },
  );
});
