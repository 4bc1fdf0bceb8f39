import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { DRAND_CHAINS, DRAND_SCHEMES, type DrandChain } from './chain.js';
import { type RoundJson, ownDrand } from './drand.fixture.js';
import { parseRound, refuseUnlessBound } from './round.js';
import { DrandVerifier } from './verifier.js';

const environment = systemEnvironment();

/** drand's test network, which is no more. Source: drand-client, test/beacon-verification.test.ts. */
const TESTNET_UNCHAINED: DrandChain = {
  hash: '7672797f548f3f4748ac4bf3352fc6c6b6468c9ad40ad456a397545c6e2df5bf',
  publicKey:
    '8200fc249deb0148eb918d6e213980c5d01acd7fc251900d9260136da3b54836ce125172399ddc69c4e3e11429b62c11',
  scheme: 'pedersen-bls-unchained',
};

/** Rounds that networks really made. */
const KNOWN: readonly { origin: string; chain: DrandChain; json: RoundJson }[] = [
  {
    origin: 'default 2634945: drand, crypto/schemes_test.go',
    chain: DRAND_CHAINS.default,
    json: known(
      2_634_945,
      '814778ed1e480406beb43b74af71ce2f0373e0ea1bfdfea8f9ed62c876c20fcbc7f0163860e3da42ed2148756015f4551451898ffe06d384b4d002245025571b6b7a752f7158b40ad92b13b6d703ad31922a617f2c7f6d960b84d56cf1d79eef',
      '8bd96294383b4d1e04e736360bd7a487f9f409f1e7bd800b720656a310d577b3bdb1e1631af6c5782a1d8979c502f395036181eff4058960fc40bb7034cdae1991d3eda518ab204a077d2f7e724974cf87b407e549bd815cf0b8e5a3832f675d',
    ),
  },
  {
    origin: 'default 3311596: python-drand-verify, README.md',
    chain: DRAND_CHAINS.default,
    json: known(
      3_311_596,
      'a696b9409ababce45749c3a4ec369074453dd4a79967734e1390d969c8ad8d98897d217b9121e92c8ddebbddda8d92f900e3bd6bf9deb166863b1a19390d743f82774001487594c5c09e581db7365f02b70a2c8cc41ce32446ef08e4890c4754',
      '8ed588f2a7716fb1349e2d9803da5db0005e98a83783c353d4a08f183236a9ad91d70ddb01266f4b7c576983db464b430e65680b9e0098552758afd6c1e6afcb77e3f62fe1b93d42d1cb63abbb2205512fe12fbf74ea9c5ac3b8f5c1e283a1d8',
      '647c07b2abbf7ff2afb4d670214f565e5cd9f9c91bfdcecb59a21f3c78d73920',
    ),
  },
  {
    origin: 'testnet 7601003: drand, crypto/schemes_test.go',
    chain: TESTNET_UNCHAINED,
    json: known(
      7_601_003,
      'af7eac5897b72401c0f248a26b612c5ef68e0ff830b4d78927988c89b5db3e997bfcdb7c24cb19f549830cd02cb854a1143fd53a1d4e0713ded471260869439060d170a77187eb6371742840e43eccfa225657c4cc2d9619f7c3d680470c9743',
    ),
  },
  {
    origin: 'testnet 19369534: drand-client, test/beacon-verification.test.ts',
    chain: TESTNET_UNCHAINED,
    json: known(
      19_369_534,
      'a33833d2098f5e0c4df334fb6c5b1c2de3ab293c77825f55d816254dabf7f4f3d429b6207e1cd2a808876e06058a1f8102bb6f6927b654b391259ea99c3566a4eb55feb9665dbaf9d33af08a10b1d8d8b35d91fd3536eb4c197be0041beb5dc2',
      undefined,
      '778180564f4fb9b77580af69a559ce941eb23d8d3180c48c4d290484b516c6aa',
    ),
  },
  {
    origin: 'quicknet 1000: /public/1000 of its relays, in many clients’ tests',
    chain: DRAND_CHAINS.quicknet,
    json: known(
      1_000,
      'b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39',
      undefined,
      'fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd',
    ),
  },
  {
    origin: 'quicknet 657413: python-drand-verify, README.md',
    chain: DRAND_CHAINS.quicknet,
    json: known(
      657_413,
      'b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b',
      undefined,
      'fc1873a13f3545aeade8401532ef5519920652eee6b0d2b19ca12643b87b3587',
    ),
  },
];

/** Not every origin gives the randomness; the hash is then taken, and the check of it tests nothing. */
function known(round: number, signature: string, previous?: string, randomness?: string): RoundJson {
  return {
    round,
    randomness: randomness ?? createHash('sha256').update(signature, 'hex').digest('hex'),
    signature,
    ...(previous !== undefined && { previous_signature: previous }),
  };
}

const bytesOf = (json: unknown): Uint8Array => Buffer.from(JSON.stringify(json));

async function verified(chain: DrandChain, json: RoundJson): Promise<void> {
  const round = parseRound(bytesOf(json), chain.scheme);
  refuseUnlessBound(round);
  await new DrandVerifier(chain, environment).verify(round);
}

/** With a randomness that fits, so that only the signature is at fault. */
function withSignature(json: RoundJson, signature: string): RoundJson {
  return { ...json, signature, randomness: createHash('sha256').update(signature, 'hex').digest('hex') };
}

const firstByte = (digits: string, change: (byte: number) => number): string =>
  change(parseInt(digits.slice(0, 2), 16))
    .toString(16)
    .padStart(2, '0') + digits.slice(2);

/** The field of BLS12-381. */
const P = 0x1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaabn;

describe('rounds that networks really made', () => {
  it.each(KNOWN)('$origin', async ({ chain, json }) => {
    await verified(chain, json);
  });

  it.each(KNOWN)('$origin: as another round', async ({ chain, json }) => {
    const other = verified(chain, { ...json, round: json.round + 1 });
    await expect(other).rejects.toMatchObject({ code: 'ERR_DRAND_SIGNATURE' });
  });

  it('a round of another network with the same scheme', async () => {
    const own = ownDrand('pedersen-bls-chained');
    const [mainnet = { json: own.sign(1) }] = KNOWN;
    await expect(verified(own.chain, mainnet.json)).rejects.toMatchObject({
      code: 'ERR_DRAND_SIGNATURE',
    });
  });
});

describe.each(DRAND_SCHEMES)('%s', (scheme) => {
  const own = ownDrand(scheme);
  const good = own.sign(77);

  it('takes rounds of its own key, the first one too', async () => {
    await verified(own.chain, good);
    await verified(own.chain, own.sign(1));
  });

  it('binds the round, and in a chain the signature before it', async () => {
    const fault = { code: 'ERR_DRAND_SIGNATURE' };
    await expect(verified(own.chain, withSignature(good, own.sign(78).signature))).rejects.toMatchObject(
      fault,
    );
    if (good.previous_signature === undefined) return;
    const other = { ...good, previous_signature: firstByte(good.previous_signature, (byte) => byte ^ 1) };
    await expect(verified(own.chain, other)).rejects.toMatchObject(fault);
  });

  it('binds the randomness', async () => {
    const wrong = { ...good, randomness: own.sign(78).randomness };
    await expect(verified(own.chain, wrong)).rejects.toMatchObject({ code: 'ERR_DRAND_RANDOMNESS' });
  });

  it.each<[string, (digits: string) => string, string]>([
    ['its negative', (digits) => firstByte(digits, (byte) => byte ^ 0x20), "is not the chain's"],
    ['the point at infinity', (digits) => `c0${'0'.repeat(digits.length - 2)}`, 'is the point at infinity'],
    [
      'infinity with something in it',
      (digits) => firstByte(digits, (byte) => byte | 0x40),
      'no canonical point',
    ],
    ['infinity with a sign', (digits) => `e0${'0'.repeat(digits.length - 2)}`, 'no canonical point'],
    [
      'a flag of the uncompressed form',
      (digits) => firstByte(digits, (byte) => byte & 0x7f),
      'no canonical point',
    ],
    ['nothing but zeros', (digits) => '0'.repeat(digits.length), 'no canonical point'],
    ['nothing but ones', (digits) => 'f'.repeat(digits.length), 'no canonical point'],
    ['x beyond the field', (digits) => beyondField(digits), 'no canonical point'],
  ])('refuses as a signature %s', async (_what, change, message) => {
    const forged = withSignature(good, change(good.signature));
    await expect(verified(own.chain, forged)).rejects.toMatchObject({
      code: 'ERR_DRAND_SIGNATURE',
      message: expect.stringContaining(message) as string,
    });
  });

  it('refuses points of the curve that are not in its group, and everything else that is made up', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1 << 30 }), async (x) => {
        // Some half of these x are on the curve; hardly any of those points has the prime order.
        const digits = x.toString(16).padStart(good.signature.length, '0');
        const forged = withSignature(
          good,
          firstByte(digits, (byte) => byte | 0x80),
        );
        await expect(verified(own.chain, forged)).rejects.toMatchObject({ code: 'ERR_DRAND_SIGNATURE' });
      }),
      { numRuns: 10 },
    );
  });

  it.each([
    ['infinity, under which everything is valid', (digits: string) => `c0${'0'.repeat(digits.length - 2)}`],
    ['no point', (digits: string) => `80${'0'.repeat(digits.length - 3)}1`],
  ])('refuses a key that is %s', async (_what, change) => {
    const chain = { ...own.chain, publicKey: change(own.chain.publicKey) };
    await expect(verified(chain, good)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });

  /** The same point, its first field element written as itself plus p where that still fits in 381 bits, else as p. */
  function beyondField(digits: string): string {
    const flags = parseInt(digits.slice(0, 2), 16) & 0xe0;
    const x = BigInt(`0x${digits.slice(0, 96)}`) & ((1n << 381n) - 1n);
    const written = x + P < 1n << 381n ? x + P : P;
    const bytes = written.toString(16).padStart(96, '0') + digits.slice(96);
    return firstByte(bytes, (byte) => byte | flags);
  }
});

describe('the event loop', () => {
  it('has turns while a round is verified', async () => {
    const own = ownDrand('bls-unchained-g1-rfc9380');
    const round = parseRound(bytesOf(own.sign(1)), own.chain.scheme);
    let turns = 0;
    const count = (): void => {
      turns += 1;
      next = setImmediate(count);
    };
    let next = setImmediate(count);
    await new DrandVerifier(own.chain, environment).verify(round);
    clearImmediate(next);
    expect(turns).toBeGreaterThanOrEqual(6);
  });
});
