import { describe, expect, it } from 'vitest';
import { HmacDrbg, type HmacDrbgOptions } from './hmac-drbg.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => Buffer.from(text, 'hex');

const OPTIONS: HmacDrbgOptions = {
  hash: 'sha512',
  entropy: new Uint8Array(32).fill(1),
  nonce: new Uint8Array(16).fill(2),
};

describe('known answers (NIST CAVP)', () => {
  it('SHA-256, no reseed, nothing optional: first row', () => {
    const drbg = HmacDrbg.instantiate({
      hash: 'sha256',
      entropy: bytes('ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488'),
      nonce: bytes('659ba96c601dc69fc902940805ec0ca8'),
    });
    drbg.generate(128);
    expect(hex(drbg.generate(128))).toBe(
      'e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89d54fbb978a15b5c443c9ec21036d2460' +
        'b6f73ebad0dc2aba6e624abf07745bc107694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668' +
        '961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8',
    );
  });

  it('SHA-256, prediction resistance, everything optional: first row', () => {
    const drbg = HmacDrbg.instantiate({
      hash: 'sha256',
      entropy: bytes('4294671d493dc085b5184607d7de2ff2b6aceb734a1b026f6cfee7c5a90f03da'),
      nonce: bytes('d071544e599235d5eb38b64b551d2a6e'),
      personalization: bytes('63bc769ae1d95a98bde870e4db7776297041d37c8a5c688d4e024b78d83f4d78'),
    });
    drbg.reseed({
      entropy: bytes('db9b4790b62336fbb9a684b82947065393eeef8f57bd2477141ad17e776dac34'),
      additionalInput: bytes('28848becd3f47696f124f4b14853a456156f69be583a7d4682cff8d44b39e1d3'),
    });
    drbg.generate(128);
    drbg.reseed({
      entropy: bytes('4a9abe80f6f522f29878bedf8245b27940a76471006fb4a4110beb4decb6c341'),
      additionalInput: bytes('8bfce0b7132661c3cd78175d83926f643e36f7608eec2c5dac3ddcbacc8c2182'),
    });
    expect(hex(drbg.generate(128))).toBe(
      'e580dc969194b2b18a97478aef9d1a72390aff14562747bf080d741527a6655ce7fc135325b457483a9f9c70f91165a8' +
        '11cf4524b50d51199a0df3bd60d12abac27d0bf6618e6b114e05420352e23f3603dfe8a225dc19b3d1fff1dc245dc6b1' +
        'df24c741744bec3f9437dbbf222df84881a457a589e7815ef132f686b760f012',
    );
  });

  it('SHA-512, reseed, personalization and additional input: first such row', () => {
    const drbg = HmacDrbg.instantiate({
      hash: 'sha512',
      entropy: bytes('da740cbc36057a8e282ae717fe7dfbb245e9e5d49908a0119c5dbcf0a1f2d5ab'),
      nonce: bytes('46561ff612217ba3ff91baa06d4b5440'),
      personalization: bytes('fc227293523ecb5b1e28c87863626627d958acc558a672b148ce19e2abd2dde4'),
    });
    drbg.reseed({
      entropy: bytes('1d61d4d8a41c3254b92104fd555adae0569d1835bb52657ec7fbba0fe03579c5'),
      additionalInput: bytes('b9ed8e35ad018a375b61189c8d365b00507cb1b4510d21cac212356b5bbaa8b2'),
    });
    drbg.generate(256, {
      additionalInput: bytes('b7998998eaf9e5d34e64ff7f03de765b31f407899d20535573e670c1b402c26a'),
    });
    const output = drbg.generate(256, {
      additionalInput: bytes('2089d49d63e0c4df58879d0cb1ba998e5b3d1a7786b785e7cf13ca5ea5e33cfd'),
    });
    expect(hex(output.subarray(0, 64))).toBe(
      '5b70f3e4da95264233efbab155b828d4e231b67cc92757feca407cc9615a660871cb07ad1a2e9a99412feda8ee34dc9c' +
        '57fa08d3f8225b30d29887d20907d123',
    );
  });
});

describe('limits', () => {
  it('serves 0 to 65,536 bytes a request, no more, and a refusal changes nothing', () => {
    const touched = HmacDrbg.instantiate(OPTIONS);
    for (const length of [65_537, -1, 0.5, Number.NaN])
      expect(() => touched.generate(length)).toThrow(RangeError);
    // @ts-expect-error plain JavaScript may hand in text
    expect(() => touched.generate(1, { additionalInput: 'text' })).toThrow(TypeError);
    expect(() => touched.reseed({ entropy: new Uint8Array(31) })).toThrow(RangeError);
    // @ts-expect-error plain JavaScript may hand in text
    expect(() => touched.reseed({ entropy: new Uint8Array(32), additionalInput: 'text' })).toThrow(TypeError);
    const clean = HmacDrbg.instantiate(OPTIONS);
    expect(touched.generate(0).length).toBe(0);
    expect(clean.generate(0).length).toBe(0);
    expect(Buffer.from(touched.generate(65_536)).equals(clean.generate(65_536))).toBe(true);
  });

  it.each<[string, Partial<HmacDrbgOptions>]>([
    ['31 bytes of entropy', { entropy: new Uint8Array(31) }],
    ['15 bytes of nonce', { nonce: new Uint8Array(15) }],
    ['an interval of 0', { reseedInterval: 0 }],
    ['an interval above 2^48', { reseedInterval: 2 ** 48 + 1 }],
    ['an interval of NaN', { reseedInterval: Number.NaN }],
  ])('refuses %s', (_, wrong) => {
    expect(() => HmacDrbg.instantiate({ ...OPTIONS, ...wrong })).toThrow(RangeError);
  });

  it('past bug, SJCL: a counter that could never hit its test value: exactly reseedInterval requests, then a named error, then none lost', () => {
    const drbg = HmacDrbg.instantiate({ ...OPTIONS, reseedInterval: 3 });
    const free = HmacDrbg.instantiate(OPTIONS);
    const served = [1, 2, 3].map(() => hex(drbg.generate(16)));
    expect(served).toEqual([1, 2, 3].map(() => hex(free.generate(16))));
    for (let again = 0; again < 3; again++) {
      expect(() => drbg.generate(16)).toThrow(expect.objectContaining({ code: 'ERR_RESEED_REQUIRED' }));
    }
    for (const each of [drbg, free]) each.reseed({ entropy: new Uint8Array(32).fill(3) });
    expect(hex(drbg.generate(16))).toBe(hex(free.generate(16)));
    drbg.generate(16);
    drbg.generate(16);
    expect(() => drbg.generate(16)).toThrow(expect.objectContaining({ code: 'ERR_RESEED_REQUIRED' }));
  });
});

describe('inputs', () => {
  it('each one changes the output', () => {
    const first = (options: Partial<HmacDrbgOptions>): string =>
      hex(HmacDrbg.instantiate({ ...OPTIONS, ...options }).generate(32));
    const reseeded = (additionalInput?: Uint8Array): string => {
      const drbg = HmacDrbg.instantiate(OPTIONS);
      drbg.reseed({ entropy: new Uint8Array(32).fill(9), additionalInput });
      return hex(drbg.generate(32));
    };
    const outputs = [
      first({}),
      first({ entropy: new Uint8Array(32).fill(5) }),
      first({ nonce: new Uint8Array(16).fill(5) }),
      first({ personalization: Uint8Array.of(5) }),
      first({ hash: 'sha256' }),
      hex(HmacDrbg.instantiate(OPTIONS).generate(32, { additionalInput: Uint8Array.of(5) })),
      reseeded(),
      reseeded(Uint8Array.of(5)),
    ];
    expect(new Set(outputs).size).toBe(outputs.length);
  });

  it('empty additional input is none, as in the standard', () => {
    const [a, b] = [HmacDrbg.instantiate(OPTIONS), HmacDrbg.instantiate(OPTIONS)];
    expect(hex(a.generate(32, { additionalInput: new Uint8Array(0) }))).toBe(hex(b.generate(32)));
    expect(hex(a.generate(32))).toBe(hex(b.generate(32)));
  });

  it('are copied, and the caller may wipe them and the output', () => {
    const entropy = Uint8Array.from(OPTIONS.entropy);
    const drbg = HmacDrbg.instantiate({ ...OPTIONS, entropy });
    entropy.fill(0);
    drbg.generate(32).fill(0);
    const other = HmacDrbg.instantiate(OPTIONS);
    other.generate(32);
    expect(hex(drbg.generate(32))).toBe(hex(other.generate(32)));
  });
});

it('throws at every call once destroyed, and may be destroyed again', () => {
  const drbg = HmacDrbg.instantiate(OPTIONS);
  drbg.destroy();
  drbg.destroy();
  expect(() => drbg.generate(32)).toThrow(TypeError);
  expect(() => drbg.generate(0)).toThrow(TypeError);
  expect(() => drbg.reseed({ entropy: new Uint8Array(32) })).toThrow(TypeError);
  expect(Reflect.ownKeys(drbg)).toEqual([]);
});
