import { createCipheriv } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  type GeneratorState,
  initializeGenerator,
  isSeeded,
  MAX_REQUEST_BYTES,
  pseudoRandomData,
  reseed,
} from './generator-steps.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** C as a number, read by its definition: least significant byte first. */
function counterOf(G: GeneratorState): bigint {
  return G.counter.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
}

function seededState(): GeneratorState {
  const G = initializeGenerator();
  reseed(G, Uint8Array.of(1, 2, 3, 4), 'book');
  return G;
}

/** E(K, C) ‖ E(K, C + 1) ‖ …, block by block and with bigints: slow, and not the code under test. */
function keyStream(key: Uint8Array, counter: bigint, blocks: number): Buffer {
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  const out: Buffer[] = [];
  for (let index = 0n; index < blocks; index++) {
    const C = (counter + index).toString(16).padStart(32, '0');
    out.push(cipher.update(Buffer.from(C, 'hex').reverse()));
  }
  return Buffer.concat(out);
}

describe('the generator, step by step', () => {
  // Origin: rows of the project's known answers (fortuna/generator.json, seed 01020304), made by an independent
  // implementation that passes the published values of pycrypto, maruel and seehuhn.
  const KNOWN_ANSWERS = [
    {
      variant: 'plain' as const,
      keyAfterReseed: '416b7c13ae658fc2c74590527baa05dd1bab3f44ba90cca77ef53921465d7f21',
      steps: [
        [0, '', '52fee98bfe5506dede957823ad4759e833b6fc8b99996f1e10077cb99f183244', 3n],
        [1, '23', '2f80342259a2252aaf70c84741c6c2d7cdfb59aabab36ea9776671a323ec8e6f', 6n],
        [
          15,
          '8843db1478cb2b5dec06df1f5bdc0e',
          '425b34f245bb6e343ef31f926fdb53db075ec8d4124e78265a7719203db66fd5',
          9n,
        ],
        [
          16,
          '4b6d4be5c53151a7f8729ccf684df132',
          '0ca244702aed2517b4a968cbfcb13ede57dd57ac94a12f78c550a581fb132f42',
          12n,
        ],
        [
          17,
          '14917d262c0d65b605140c8caa6643dec6',
          '47cd7d4015ffc162850eaec9bcf9b351c2725ec9978bb536a3bab9891299d7ce',
          16n,
        ],
      ] as const,
    },
    {
      variant: 'book' as const,
      keyAfterReseed: '893809fa904db900be46bb1062c336ccb037c22ab1b149cd589854e5ae20d611',
      steps: [
        [0, '', '993f2854fa9f9bf187085b43c7dbe4b0a1320778b98c9bc90661c42c134201ba', 3n],
        [1, 'ca', '88d22552432dd2e04e3168235613ec636791e170ebeac3a466da453194edfe0e', 6n],
        [
          15,
          'c9ca9f618c6e7d7f60c1db77daa71c',
          'c0d5ba8823cf3805df0801a23c4e7973be7926e3685fce41dfaf8ad0be5e9993',
          9n,
        ],
        [
          16,
          '07fcbe47d1c727aaa479d25626437074',
          '07f211780681cf02b5a788c2ff25a6270b56d8e52527fc9f9b595344dd008610',
          12n,
        ],
        [
          17,
          'efb1122cba5f8fe248efb67a81ffb9cdfb',
          'bb183fceda217e6874414b52d9bb499e43e9bb86d8bd224e11ede6c96f2e8259',
          16n,
        ],
      ] as const,
    },
  ];

  it.each(KNOWN_ANSWERS)('known answers, $variant', ({ variant, keyAfterReseed, steps }) => {
    const G = initializeGenerator();
    reseed(G, Uint8Array.of(1, 2, 3, 4), variant);
    expect(hex(G.key)).toBe(keyAfterReseed);
    expect(counterOf(G)).toBe(1n);
    for (const [n, output, key, counter] of steps) {
      expect(hex(pseudoRandomData(G, n))).toBe(output);
      expect(hex(G.key)).toBe(key);
      expect(counterOf(G)).toBe(counter);
    }
  });

  it.each([0, 1, 8, 15, 16, 17, 31, 32, 33, 65_535, 65_536, 65_537, 2 ** 20 - 1, 2 ** 20])(
    'a read of %d bytes: output and next key are disjoint, adjacent pieces of one key stream',
    (n) => {
      const G = seededState();
      const key = Uint8Array.from(G.key);
      const counter = counterOf(G);
      const k = Math.ceil(n / 16);
      const stream = keyStream(key, counter, k + 2);

      const output = pseudoRandomData(G, n);
      expect(stream.subarray(0, n).equals(output)).toBe(true);
      expect(hex(G.key)).toBe(hex(stream.subarray(k * 16)));
      expect(counterOf(G)).toBe(counter + BigInt(k + 2));
    },
  );

  it('past bug, mirage-crypto: len // block * 2 for + 2: a short read returned bytes of the next key', () => {
    for (let n = 0; n <= 48; n++) {
      const G = seededState();
      const output = hex(pseudoRandomData(G, n));
      expect(hex(G.key)).toHaveLength(64);
      if (n >= 4) expect(hex(G.key)).not.toContain(output.slice(0, 8));
      if (n >= 4) expect(output).not.toContain(hex(G.key).slice(0, 8));
    }
  });

  it('no block of the counter is ever used twice, whatever the lengths read', () => {
    const G = seededState();
    let expected = 1n;
    for (const n of [0, 1, 16, 17, 100, 65_536, 3]) {
      pseudoRandomData(G, n);
      expected += BigInt(Math.ceil(n / 16) + 2);
      expect(counterOf(G)).toBe(expected);
    }
    reseed(G, new Uint8Array(0), 'book');
    expect(counterOf(G)).toBe(expected + 1n);
  });

  it.each([1, 4, 8, 15])('the counter carries past byte %d, little-endian', (byte) => {
    const G = seededState();
    G.counter.fill(0xff, 0, byte).fill(0, byte);
    const before = counterOf(G);
    const stream = keyStream(Uint8Array.from(G.key), before, 4);
    expect(hex(pseudoRandomData(G, 32))).toBe(hex(stream.subarray(0, 32)));
    expect(counterOf(G)).toBe(before + 4n);
  });

  it('output depends on nothing beyond the state: two equal states agree', () => {
    expect(hex(pseudoRandomData(seededState(), 33))).toBe(hex(pseudoRandomData(seededState(), 33)));
  });

  it('refuses what the book asserts, and changes nothing', () => {
    const G = seededState();
    const before = hex(G.key) + hex(G.counter);
    for (const n of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, MAX_REQUEST_BYTES + 1]) {
      expect(() => pseudoRandomData(G, n)).toThrow(RangeError);
    }
    expect(hex(G.key) + hex(G.counter)).toBe(before);
  });

  it('refuses before the first reseed, even a read of nothing', () => {
    const G = initializeGenerator();
    expect(isSeeded(G)).toBe(false);
    for (const n of [0, 1]) {
      expect(() => pseudoRandomData(G, n)).toThrow(
        expect.objectContaining({ name: 'LamplighterError', code: 'ERR_NOT_SEEDED' }),
      );
    }
    expect(hex(G.key)).toBe('00'.repeat(32));
    expect(counterOf(G)).toBe(0n);
  });
});
