import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeLeafCertificate, makeRootCertificate, newKey } from './certificate.js';
import {
  acceptTrust,
  decodeTrust,
  isSignedBy,
  readTrustFile,
  signTrust,
  trustBytes,
  trustFile,
  type TrustDocument,
} from './trust-list.js';

interface Root {
  readonly pem: string;
  readonly key: KeyObject;
}

async function newRoot(lifeMs = 86_400_000): Promise<Root> {
  const made = newKey();
  return { pem: (await makeRootCertificate('Test CA', made, lifeMs)).pem, key: made.key };
}

const [old, next, evil] = [await newRoot(), await newRoot(), await newRoot()];
const first = signTrust(1, [old.pem], [old.key]);
const both = signTrust(2, [old.pem, next.pem], [old.key, next.key]);
const switched = signTrust(3, [next.pem, old.pem], [next.key, old.key]);
const finished = signTrust(4, [next.pem], [next.key]);

const bytes = (text: string): Buffer => Buffer.from(text);
const refusal = (text: RegExp): Error =>
  expect.objectContaining({ code: 'ERR_TRUST', message: expect.stringMatching(text) as string }) as Error;

/**
 * The key of RFC 8032, 7.1, test 1, and a root by it that `openssl req -x509` made. The signature over the bytes that the docstring of
 * `trustBytes` states, packed by Python's struct, is from `openssl pkeyutl -sign -rawin`.
 */
const KNOWN = {
  key: createPrivateKey({
    key: Buffer.from(
      '302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      'hex',
    ),
    format: 'der',
    type: 'pkcs8',
  }),
  root: `-----BEGIN CERTIFICATE-----
MIIBGjCBzaADAgECAgJAATAFBgMrZXAwGjEYMBYGA1UEAwwPS25vd24gYW5zd2Vy
IENBMCAXDTI2MTEyMjAzMzAwNFoYDzIxMjYxMDI5MDMzMDA0WjAaMRgwFgYDVQQD
DA9Lbm93biBhbnN3ZXIgQ0EwKjAFBgMrZXADIQDXWpgBgrEKt9VL/tPJZAc6DuFy
89qmIyWvAhpo9wdRGqM1MDMwEgYDVR0TAQH/BAgwBgEB/wIBADAdBgNVHQ4EFgQU
WyeqVYkXl3DkdXWxYqHe2XuL/G0wBQYDK2VwA0EAqs46WGZJuoBuOosnSAprWRqg
Ope/hg53rdwemNPrVZhhODqwU2moj61nhQIHn4uTtSvt6BVkOdH4l65Kyl24Bg==
-----END CERTIFICATE-----
`,
  signature: {
    key: '06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9',
    signature: 'pwqP1c8d8CV6Eqp8PGEfVtK0NSXkPweMABOEvGwICu/LLuhHmJsoT5BRaXVxzw8mL8TtNORDQ65FnZ5L3vfdCA==',
  },
};

describe('a signature', () => {
  it('is what openssl makes: a known answer', () => {
    expect(signTrust(7, [KNOWN.root], [KNOWN.key])).toEqual({
      sequence: 7,
      roots: [KNOWN.root],
      signatures: [KNOWN.signature],
    });
  });

  it('covers exactly these bytes', () => {
    const parsed = new X509Certificate(old.pem);
    expect(trustBytes(0x0102030405, [parsed, parsed]).toString('hex')).toBe(
      [
        Buffer.from('lamplighter/trust/v1').toString('hex'),
        '0000000102030405',
        '0002',
        ...Array.from({ length: 2 }, () => [
          parsed.raw.length.toString(16).padStart(8, '0'),
          parsed.raw.toString('hex'),
        ]).flat(),
      ].join(''),
    );
  });

  it('is by every key it was made with, and by no other', () => {
    const isBy = ({ pem }: Root): boolean => isSignedBy(both, new X509Certificate(pem));
    expect([isBy(old), isBy(next), isBy(evil)]).toEqual([true, true, false]);
  });

  it('is lost with any change', () => {
    const root = new X509Certificate(old.pem);
    for (const changed of [
      { ...both, sequence: 3 },
      { ...both, roots: [next.pem, old.pem] },
      { ...both, roots: [old.pem] },
      { ...both, roots: [old.pem, evil.pem] },
    ]) {
      expect(isSignedBy(changed, root)).toBe(false);
    }
  });
});

describe('a trust file', () => {
  it('says its number in its first line, then the roots in order', () => {
    const text = trustFile(both);
    expect(text.split('\n')[0]).toBe('# lamplighter trust 2');
    const { sequence, roots } = readTrustFile(bytes(text));
    expect(sequence).toBe(2);
    expect(roots.map(String)).toEqual([old, next].map(({ pem }) => String(new X509Certificate(pem))));
  });

  it('has number 0 when it does not say one, or says it elsewhere', () => {
    for (const text of [old.pem, `\n${trustFile(both)}`, `# lamplighter trust x\n${old.pem}`]) {
      expect(readTrustFile(bytes(text)).sequence).toBe(0);
    }
  });

  it.each([
    ['nothing', ''],
    ['a number and no root', '# lamplighter trust 3\n'],
    ['damage', '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n'],
    ['a number beyond all numbers', `# lamplighter trust 9999999999999999\n${old.pem}`],
    ['1 MiB', old.pem.padEnd(1_048_577)],
  ])('is refused with %s', (_what, text) => {
    expect(() => readTrustFile(bytes(text))).toThrow(
      expect.objectContaining({ code: 'ERR_CERTIFICATE_FILE' }) as Error,
    );
  });
});

describe('acceptTrust', () => {
  it('follows a rotation, step by step and from a file without a number', () => {
    let file = bytes(old.pem);
    for (const document of [first, both, switched, finished]) {
      const accepted = acceptTrust(file, document);
      expect(accepted).toBe(trustFile(document));
      file = bytes(accepted ?? '');
    }
  });

  it('follows when a step was missed, while a root we trust stays', () => {
    expect(acceptTrust(bytes(trustFile(first)), switched)).toBe(trustFile(switched));
    expect(acceptTrust(bytes(trustFile(both)), finished)).toBe(trustFile(finished));
  });

  it('does not take an older list that is replayed', () => {
    expect(acceptTrust(bytes(trustFile(finished)), both)).toBeUndefined();
    expect(acceptTrust(bytes(trustFile(switched)), both)).toBeUndefined();
  });

  it('does not take other roots under the number it has, whoever signed them', () => {
    const other = signTrust(2, [old.pem, evil.pem], [old.key, evil.key]);
    expect(acceptTrust(bytes(trustFile(both)), other)).toBeUndefined();
  });

  it.each<[string, () => TrustDocument]>([
    ['a root of its own, signed by its own key', () => signTrust(9, [evil.pem], [evil.key])],
    ['a root of its own beside ours', () => signTrust(9, [old.pem, evil.pem], [evil.key])],
    [
      'our key’s name on its own signature',
      () => {
        const list = signTrust(9, [old.pem, evil.pem], [evil.key]);
        const [key = ''] = both.signatures.map((entry) => entry.key);
        return { ...list, signatures: list.signatures.map((entry) => ({ ...entry, key })) };
      },
    ],
    [
      'a signature of another list of ours',
      () => ({ ...signTrust(9, [old.pem, evil.pem], [evil.key]), signatures: both.signatures }),
    ],
    ['a list that drops every root we have', () => signTrust(9, [next.pem], [next.key, old.key])],
  ])('refuses %s', (_what, document) => {
    expect(() => acceptTrust(bytes(trustFile(first)), document())).toThrow(refusal(/signed by no root/));
  });

  it('refuses a list by a root that is not trusted any more', () => {
    const late = signTrust(9, [next.pem, old.pem, evil.pem], [old.key]);
    expect(() => acceptTrust(bytes(trustFile(finished)), late)).toThrow(refusal(/signed by no root/));
  });

  it('refuses a list by a root that has expired', async () => {
    const expired = await newRoot(-1_000);
    const list = signTrust(9, [expired.pem, evil.pem], [expired.key]);
    expect(() => acceptTrust(bytes(expired.pem), list)).toThrow(refusal(/signed by no root/));
  });

  it('refuses signatures of any other kind of key', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(() => signTrust(9, [old.pem], [privateKey])).toThrow(refusal(/malformed signature/));
  });

  it('cannot read its own file', () => {
    expect(() => acceptTrust(bytes('garbage'), both)).toThrow(
      expect.objectContaining({ code: 'ERR_CERTIFICATE_FILE' }) as Error,
    );
  });
});

describe('decodeTrust', () => {
  it('reads what was written, and leaves out what does not belong', () => {
    expect(decodeTrust(JSON.parse(JSON.stringify({ ...both, more: 1 })))).toEqual(both);
    const indented = { ...both, roots: both.roots.map((pem) => `hello\n${pem}\nworld`) };
    expect(decodeTrust(indented)).toEqual(both);
  });

  it.each([0, -1, 1.5, Number.NaN, Infinity, 2 ** 53, '1', null, undefined, 1n])(
    'refuses the sequence %s',
    (sequence) => {
      expect(() => decodeTrust({ ...first, sequence })).toThrow(refusal(/sequence/));
    },
  );

  it.each<[string, unknown, RegExp]>([
    ['no list of roots', undefined, /1 to 8 roots/],
    ['no root', [], /1 to 8 roots/],
    ['nine roots', Array.from({ length: 9 }, () => old.pem), /1 to 8 roots/],
    ['a root twice', [old.pem, next.pem, old.pem], /twice/],
    ['two roots in one entry', [old.pem + next.pem], /one certificate an entry/],
    ['a number for a root', [1], /too long/],
    ['a root of 1 MiB', [old.pem.padEnd(1_048_576)], /too long/],
    ['garbage', ['garbage'], /one certificate an entry/],
    ['damage', ['-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----'], /damaged/],
  ])('refuses %s', (_what, roots, text) => {
    expect(() => decodeTrust({ ...first, roots })).toThrow(refusal(text));
  });

  it('refuses a certificate that is not a CA’s, and a CA that another one vouches for', async () => {
    const leaf = await makeLeafCertificate(new X509Certificate(old.pem), old.key, {
      name: 'x',
      names: [{ type: 'url', value: 'lamplighter:machine/x' }],
      isServer: false,
      publicKey: newKey().spki,
      lifeMs: 60_000,
    });
    expect(() => decodeTrust({ ...first, roots: [old.pem, leaf.pem] })).toThrow(refusal(/not a CA/));
  });

  it('refuses roots that have all expired, and takes one that lives', async () => {
    const [one, two] = [await newRoot(-1_000), await newRoot(-2_000)];
    const roots = [one.pem, two.pem];
    expect(() => decodeTrust({ ...first, roots })).toThrow(refusal(/have expired/));
    expect(decodeTrust({ ...first, roots: [...roots, old.pem] }).roots).toHaveLength(3);
  });

  it.each<[string, unknown]>([
    ['none', []],
    ['nine', Array.from({ length: 9 }, () => first.signatures[0])],
    ['a list of nothing', [null]],
    ['a key that is no hash', [{ ...first.signatures[0], key: 'AA' }]],
    ['a signature that is too short', [{ ...first.signatures[0], signature: 'AAAA' }]],
    ['one that is no text', [{ ...first.signatures[0], signature: 1 }]],
  ])('refuses signatures: %s', (_what, signatures) => {
    expect(() => decodeTrust({ ...first, signatures })).toThrow(refusal(/trust list/));
  });

  it('refuses anything else, always with its own code', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(() => decodeTrust(value)).toThrow(refusal(/trust list/));
      }),
    );
  });
});
