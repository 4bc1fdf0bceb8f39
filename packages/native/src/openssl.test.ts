import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { compileFaults, inChild, needsAddon, temporaryFolder, misuse } from './addon.fixture.js';
import { reseedOpenssl } from './openssl.js';

/**
 * What OpenSSL makes for this thread, for a thread of the pool, for a key and for TLS. All have given output before the
 * reseed, so that what is seen is a running generator that changed its course. The marks stand for the two inputs.
 */
const DRAW_EVERYWHERE = `
  const { generateKeyPairSync, randomBytes } = require('node:crypto');
  const { Duplex } = require('node:stream');
  const tls = require('node:tls');
  const { promisify } = require('node:util');
  const onPool = promisify(randomBytes);
  const clientHello = () => new Promise((resolve) => {
    const socket = new Duplex({ read() {}, write(bytes) { resolve(bytes.toString('hex')); } });
    tls.connect({ socket, minVersion: 'TLSv1.3' }).on('error', () => {});
  });
  (async () => {
    randomBytes(16);
    await onPool(16);
    const input = process.env.INPUT;
    if (input !== '-') tell(native.reseedOpenssl(Buffer.from(input)));
    tell(randomBytes(16).toString('hex'), (await onPool(16)).toString('hex'));
    tell(generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' }).x, await clientHello());
    process.exit();
  })();
`;

needsAddon('reseedOpenssl', () => {
  const faults = compileFaults(temporaryFolder());

  it('succeeds, and randomBytes goes on', () => {
    expect(reseedOpenssl(randomBytes(64))).toEqual({ supported: true, value: undefined });
    expect(reseedOpenssl(new Uint8Array(1))).toEqual({ supported: true, value: undefined });
    expect(reseedOpenssl(new Uint8Array(65_536))).toEqual({ supported: true, value: undefined });
    expect(randomBytes(32)).not.toEqual(randomBytes(32));
  });

  it('refuses what is no bytes, or too few or too many of them', () => {
    expect(() => reseedOpenssl(new Uint8Array(0))).toThrow(RangeError);
    expect(() => reseedOpenssl(new Uint8Array(65_537))).toThrow(RangeError);
    expect(misuse(reseedOpenssl, 'entropy')).toThrow(TypeError);
  });

  it('decides all that follows when the OS RNG repeats itself: randomBytes, the thread pool, keys, ClientHello', () => {
    const draw = (input: string): unknown[] =>
      inChild(DRAW_EVERYWHERE, {
        faults,
        prefix: ['setarch', '-R'],
        env: { FIXED_ENTROPY: '1', UV_THREADPOOL_SIZE: '1', INPUT: input },
      });

    const unhedged = draw('-');
    expect(draw('-'), 'without the hedge two runs are the same: the experiment can fail').toEqual(unhedged);

    const [succeeded, ...first] = draw('a');
    expect(succeeded).toBe(true);
    expect(draw('a').slice(1), 'same input, same output: nothing else differs').toEqual(first);

    const second = draw('b').slice(1);
    expect(first).toHaveLength(4);
    for (const [i, value] of first.entries()) {
      expect(value).not.toEqual(unhedged[i]);
      expect(value).not.toEqual(second[i]);
      expect(second[i]).not.toEqual(unhedged[i]);
    }
  });

  it.each([
    ['getrandom:11', 'not ready'],
    ['getrandom:38', 'Function not implemented'],
    ['getrandom:-7', 'a short answer'],
    ['getentropy:5', 'Input/output error'],
  ])('does not ask OpenSSL while the OS RNG fails (%s), and randomBytes does not spin', (fault, reason) => {
    const script = `
      const { randomBytes } = require('node:crypto');
      arm(${JSON.stringify(fault)});
      tell(native.reseedOpenssl(Buffer.alloc(32)));
      arm('');
      tell(native.reseedOpenssl(Buffer.alloc(32)), randomBytes(16).length);
    `;
    expect(inChild(script, { faults })).toEqual([
      `not tried, the operating system's RNG fails: ${reason}`,
      true,
      16,
    ]);
  });

  it('asks again when a signal interrupts it', () => {
    const script = `arm('getrandom:4'); tell(native.reseedOpenssl(Buffer.alloc(32)));`;
    expect(inChild(script, { faults })).toEqual([true]);
  });
});
