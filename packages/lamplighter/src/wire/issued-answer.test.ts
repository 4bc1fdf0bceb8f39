import { createPrivateKey } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { testAuthority } from '../identity/made-certificates.fixture.js';
import { signTrust } from '../identity/trust-list.js';
import {
  decodeIssuedAnswer,
  encodeIssuedAnswer,
  type IssuedAnswer,
  MAX_ANSWER_BYTES,
} from './issued-answer.js';

const authority = await testAuthority();
const machine = await authority.make({ role: 'machine', name: 'web-1' });
const answer: IssuedAnswer = {
  certificate: machine.cert.toString(),
  // The list is only carried here: whose signature it bears is asked elsewhere.
  trust: signTrust(7, [authority.pem], [createPrivateKey(machine.key)]),
  name: 'web-1',
  role: 'machine',
  relays: [
    { name: 'one', url: 'https://one.example:9443' },
    { name: 'two', url: 'https://two.example:9443', peer: 'relay-2' },
  ],
  beaconPort: 9443,
};

const codeOf = (bytes: Uint8Array): unknown => {
  try {
    return decodeIssuedAnswer(bytes);
  } catch (error) {
    if (error instanceof LamplighterError) return error.code;
    throw error;
  }
};
const withFields = (fields: object): Uint8Array => Buffer.from(JSON.stringify({ ...answer, ...fields }));

describe('an answer to whoever enrolled or renewed', () => {
  it('comes back as it was sent, with or without what may be left out', () => {
    const { relays, beaconPort, ...least } = answer;
    for (const sent of [answer, least]) {
      const { certificate, ...rest } = decodeIssuedAnswer(encodeIssuedAnswer(sent));
      const { certificate: original, ...others } = sent;
      expect(rest).toEqual(others);
      expect(certificate.trim()).toBe(original.trim());
    }
    expect([relays?.length, beaconPort]).toEqual([2, 9443]);
  });

  it('may say more than this version knows, which is left out', () => {
    expect(decodeIssuedAnswer(withFields({ colour: 'green' }))).not.toHaveProperty('colour');
  });

  const key = machine.key.toString();
  const cert = machine.cert.toString();
  it.each<[string, object]>([
    ['no certificate', { certificate: undefined }],
    ['an empty one', { certificate: '' }],
    ['a number for one', { certificate: 7 }],
    ['two certificates', { certificate: `${cert}\n${cert}` }],
    ['a certificate and a key', { certificate: `${cert}\n${key}` }],
    ['a key and a certificate', { certificate: `${key}\n${cert}` }],
    ['words before it', { certificate: `hello\n${cert}` }],
    ['a damaged one', { certificate: cert.replace('MII', 'MIJ').replace(/[a-z]/, 'Q') }],
    ['the certificate of a CA', { certificate: authority.pem }],
    ['no name', { name: undefined }],
    ['a name that is a path', { name: '../../etc' }],
    ['a role nobody has', { role: 'root' }],
    ['port 0', { beaconPort: 0 }],
    ['port 65536', { beaconPort: 65_536 }],
    ['half a port', { beaconPort: 1.5 }],
    ['a port in words', { beaconPort: '9443' }],
    ['relays that are no list', { relays: {} }],
    [
      'too many relays',
      { relays: Array.from({ length: 17 }, (_, at) => ({ name: `r${at}`, url: 'https://r' })) },
    ],
    ['a relay in the clear', { relays: [{ name: 'r', url: 'http://r' }] }],
    ['a relay without an address', { relays: [{ name: 'r' }] }],
    ['a relay with a long address', { relays: [{ name: 'r', url: `https://${'r'.repeat(2_100)}` }] }],
    ['a relay with a bad peer', { relays: [{ name: 'r', url: 'https://r', peer: 'A B' }] }],
    [
      'a relay twice',
      {
        relays: [
          { name: 'r', url: 'https://a' },
          { name: 'r', url: 'https://b' },
        ],
      },
    ],
  ])('with %s is refused', (_, fields) => {
    expect(codeOf(withFields(fields))).toBe('ERR_UPSTREAM_PROTOCOL');
  });

  it.each<[string, unknown]>([
    ['none', undefined],
    ['no roots', { ...answer.trust, roots: [] }],
    ['a leaf for a root', { ...answer.trust, roots: [machine.cert.toString()] }],
    ['sequence 0', { ...answer.trust, sequence: 0 }],
  ])('with a trust list that cannot be one is refused: %s', (_, trust) => {
    expect(codeOf(withFields({ trust }))).toBe('ERR_TRUST');
  });

  it('longer than 64 KiB is refused, 64 KiB is read', () => {
    const bytes = encodeIssuedAnswer(answer);
    const padded = (lengthBytes: number): Uint8Array =>
      Buffer.concat([bytes, Buffer.alloc(lengthBytes - bytes.length, 0x20)]);
    expect(codeOf(padded(MAX_ANSWER_BYTES))).toMatchObject({ name: 'web-1' });
    expect(codeOf(padded(MAX_ANSWER_BYTES + 1))).toBe('ERR_UPSTREAM_PROTOCOL');
  });

  it('of any other form is an error of ours, never another', () => {
    const refused = ['ERR_UPSTREAM_PROTOCOL', 'ERR_TRUST'];
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          expect(refused).toContain(codeOf(bytes));
        },
      ),
    );
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(answer)), fc.jsonValue(), (field, value) => {
        const decoded = codeOf(withFields({ [field]: value }));
        expect(typeof decoded === 'object' || refused.some((code) => code === decoded)).toBe(true);
      }),
    );
    expect(codeOf(Buffer.from('['.repeat(60_000)))).toBe('ERR_UPSTREAM_PROTOCOL');
  });
});
