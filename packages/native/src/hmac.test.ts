import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { compileAddon, inChild, misuse, needsAddon, temporaryFolder } from './addon.fixture.js';
import { hmacInto } from './hmac.js';

const HASHES = { sha256: { block: 64, digest: 32 }, sha512: { block: 128, digest: 64 } } as const;
const hash = fc.constantFrom('sha256' as const, 'sha512' as const);

needsAddon('hmacInto', () => {
  it.each([
    ['sha256', 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'],
    [
      'sha512',
      '87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854',
    ],
  ] as const)('makes the example of RFC 4231, 4.2, with %s', (name, expected) => {
    const mac = new Uint8Array(HASHES[name].digest);
    const key = new Uint8Array(20).fill(0x0b);
    expect(hmacInto(name, key, Buffer.from('Hi There'), mac)).toEqual({ supported: true, value: undefined });
    expect(Buffer.from(mac).toString('hex')).toBe(expected);
  });

  it('is what node:crypto makes, at every length and place; and touches nothing else', () => {
    const lengths = fc.tuple(fc.nat(127), fc.nat(1_000), fc.nat(65));
    fc.assert(
      fc.property(hash, lengths, fc.integer(), (name, [keyLess, textLess, offset], seed) => {
        const { block, digest } = HASHES[name];
        const bytes = (length: number): Uint8Array =>
          Uint8Array.from({ length }, (_, i) => (seed * (i + 7)) >>> 3);
        const key = bytes((keyLess % block) + 1);
        const text = bytes(textLess + 1);
        const memory = new Uint8Array(offset + digest + 64).fill(0xee);
        hmacInto(name, key, text, memory.subarray(offset, offset + digest));
        const expected = createHmac(name, key).update(text).digest();
        expect(Buffer.compare(memory.subarray(offset, offset + digest), expected)).toBe(0);
        expect([key, text]).toEqual([bytes(key.length), bytes(text.length)]);
        memory.fill(0xee, offset, offset + digest);
        expect(memory.every((byte) => byte === 0xee)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('takes the memory of its text for its result', () => {
    const memory = new Uint8Array(64).fill(5);
    const expected = createHmac('sha512', Buffer.alloc(64, 1)).update(memory).digest();
    hmacInto('sha512', new Uint8Array(64).fill(1), memory, memory);
    expect(Buffer.compare(memory, expected)).toBe(0);
  });

  it('refuses other arguments, and nothing has changed', () => {
    const [key, text, mac] = [new Uint8Array(64), new Uint8Array(8), new Uint8Array(64)];
    for (const args of [
      [new Uint8Array(0), text, mac],
      [new Uint8Array(129), text, mac],
      [key, new Uint8Array(0), mac],
      [key, new Uint8Array((1 << 20) + 1), mac],
      [key, text, new Uint8Array(63)],
      [key, text, new Uint8Array(65)],
    ] as const) {
      expect(() => hmacInto('sha512', ...args)).toThrow(RangeError);
    }
    expect(() => hmacInto('sha256', new Uint8Array(65), text, new Uint8Array(32))).toThrow(RangeError);
    for (const args of [
      ['key', text, mac],
      [key, new DataView(text.buffer), mac],
      [key, text, null],
    ]) {
      expect(misuse(hmacInto, 'sha512', ...args)).toThrow(TypeError);
    }
    expect([...key, ...text, ...mac].every((byte) => byte === 0)).toBe(true);
  });

  /** A whole compiler runs, on a machine that may be busy. */
  const COMPILE_MS = 120_000;
  const folder = temporaryFolder();

  it.each([
    ['that is laid out otherwise', '-DSHA512_Update=SHA256_Update'],
    ['that is missing', '-DSHA256_Final=no_such_function'],
  ])(
    'is unsupported with a SHA-2 %s',
    (name, flag) => {
      const addon = compileAddon(folder, name.replaceAll(' ', '-'), flag);
      const script = `
      const mac = new Uint8Array(32);
      tell(native.hmac(false, new Uint8Array(32), new Uint8Array(8), mac), mac.every((byte) => byte === 0));
    `;
      expect(inChild(script, { addon })).toEqual([
        'the OpenSSL in this process has no SHA-2 that can be used',
        true,
      ]);
    },
    COMPILE_MS,
  );
});
