import { X509Certificate } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import type { Policy } from '../../packages/lamplighter/dist/identity/policy.js';
import { decodeToken, encodeToken, tokenKeys } from '../../packages/lamplighter/dist/identity/token.js';
import { isSignedBy, trustFile } from '../../packages/lamplighter/dist/identity/trust-list.js';
import { decodeSeedFile, encodeSeedFile } from '../../packages/lamplighter/dist/local/seed/seed-record.js';
import { basisFromHeader, basisToWords } from '../../packages/lamplighter/dist/wire/basis.js';
import {
  BASIS_HEADER,
  BEACON_CONTENT_TYPE,
  BEACON_LENGTH_BYTES,
  BEACON_PATH,
  CLIENT_NONCE_LENGTH_BYTES,
  MAX_NONCE_LENGTH_BYTES,
} from '../../packages/lamplighter/dist/wire/beacon.js';
import {
  CARRIER_PORT,
  CarrierDecoder,
  type CarrierFrame,
  encodeCarrierFrame,
} from '../../packages/lamplighter/dist/wire/carrier.js';
import {
  EgdReplyDecoder,
  encodeEgdReply,
  EgdRequestDecoder,
  type EgdReply,
  type EgdRequest,
  encodeEgdRequest,
} from '../../packages/lamplighter/dist/wire/egd.js';
import {
  decodeEnrollRequest,
  ENROLL_CONTENT_TYPE,
  ENROLL_PATH,
  encodeEnrollRequest,
  enrollProof,
  EXPORTER_BYTES,
  EXPORTER_LABEL,
} from '../../packages/lamplighter/dist/wire/enroll.js';
import {
  encodeFeedFrame,
  FEED_CONTENT_TYPE,
  FEED_PATH,
  FeedDecoder,
} from '../../packages/lamplighter/dist/wire/feed.js';
import { ISSUED_CONTENT_TYPE } from '../../packages/lamplighter/dist/wire/issued-answer.js';
import {
  encodePolicy,
  encodePolicyAlive,
  encodePolicyChange,
  isSamePolicy,
  POLICY_CONTENT_TYPE,
  POLICY_PATH,
} from '../../packages/lamplighter/dist/wire/policy.js';
import { PolicyReader } from '../../packages/lamplighter/dist/wire/policy-reader.js';
import { decodePollenAnswer, pollenAnswer } from '../../packages/lamplighter/dist/wire/pollen.js';
import { problemOf } from '../../packages/lamplighter/dist/wire/problem.js';
import { RENEW_CONTENT_TYPE, RENEW_PATH } from '../../packages/lamplighter/dist/wire/renew.js';
import {
  TRICKLE_GREETING,
  TRICKLE_HELLO,
  TRICKLE_PORT,
} from '../../packages/lamplighter/dist/wire/trickle.js';

/*
 * What version 1 puts on the wire and on disks, byte for byte, as a build of 0.1.0 wrote it. Whoever changes one of these breaks every
 * machine that is not upgraded at the same moment: add what is new beside it, and read both.
 */

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Buffer => Buffer.from(text, 'hex');
/** Bytes that count upwards. */
const run = (from: number, lengthBytes: number): Uint8Array =>
  Uint8Array.from({ length: lengthBytes }, (_, i) => (from + i) & 255);

it('names: paths, headers, media types, labels, ports', () => {
  expect([BEACON_PATH, FEED_PATH, ENROLL_PATH, RENEW_PATH, POLICY_PATH]).toEqual([
    '/v1/beacon',
    '/v1/feed',
    '/v1/enroll',
    '/v1/renew',
    '/v1/policy',
  ]);
  expect([BEACON_CONTENT_TYPE, FEED_CONTENT_TYPE]).toEqual([
    'application/octet-stream',
    'application/octet-stream',
  ]);
  expect([ENROLL_CONTENT_TYPE, ISSUED_CONTENT_TYPE]).toEqual(['application/json', 'application/json']);
  expect([RENEW_CONTENT_TYPE, POLICY_CONTENT_TYPE]).toEqual(['application/x-pem-file', 'application/jsonl']);
  expect([BASIS_HEADER, EXPORTER_LABEL]).toEqual(['lamplighter-basis', 'EXPORTER-lamplighter-enroll']);
  expect([BEACON_LENGTH_BYTES, CLIENT_NONCE_LENGTH_BYTES, MAX_NONCE_LENGTH_BYTES, EXPORTER_BYTES]).toEqual([
    64, 32, 64, 32,
  ]);
  expect([TRICKLE_PORT, CARRIER_PORT]).toEqual(['org.openmirage.entropy.1', 'io.lamplighter.beacon.1']);
  expect([TRICKLE_HELLO, TRICKLE_GREETING]).toEqual([
    'Hello, may I have some entropy?\r\n',
    'You may treat everything following this message as entropy.\r\n',
  ]);
});

it('a feed frame', () => {
  const frame = {
    basis: { simulated: false, degraded: true, physical: true },
    sequence: 0x0102030405060708n,
    realtimeNs: 1_700_000_000_123_456_789n,
    payload: run(0, 64),
  };
  const recorded = `4c4c463106000040010203040506070817979cfe3d85cd15${hex(run(0, 64))}`;
  expect(hex(encodeFeedFrame(frame))).toBe(recorded);
  expect([...new FeedDecoder().push(bytesOf(recorded))]).toEqual([frame]);
  // What a later version may set besides is passed over.
  const later = bytesOf(recorded);
  later[4] = 0xf6;
  expect([...new FeedDecoder().push(later)]).toEqual([frame]);
});

it('the basis of a beacon', () => {
  const recorded = 'simulated, degraded, physical';
  expect(basisToWords(basisFromHeader(recorded)).join(', ')).toBe(recorded);
  expect(basisToWords(basisFromHeader('physical, something-new'))).toEqual(['physical']);
  expect(basisToWords(basisFromHeader(undefined))).toEqual([]);
});

it('a refusal', () => {
  const refused = problemOf(new LamplighterError('ERR_QUOTA', 'too much', { retryAfterMs: 1_500 }));
  expect(refused.status).toBe(429);
  expect(refused.headers).toEqual({ 'content-type': 'application/problem+json', 'retry-after': '2' });
  expect(JSON.parse(Buffer.from(refused.body).toString())).toMatchObject({ status: 429, code: 'ERR_QUOTA' });
});

describe('enrolment', () => {
  // In two parts: whoever looks for tokens in files shall not find one here.
  const TOKEN = [
    'lamplighter-token-1',
    'AAECAwQFBgcICQoLDA0OD0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5foKGio6SlpqeoqaqrrK2ur7CxsrO0tba3uLm6u7y9vr8EAAAAAHE_swDdJ7RB',
  ].join('.');
  const PROOF = '0638da1c0535bce96724c0c72d5260ee664ef739197972de2d30becc31058e2f';

  it('a token', () => {
    const fields = {
      id: run(0, 16),
      secret: run(0x40, 32),
      keyHash: run(0xa0, 32),
      role: 'machine',
      expiresAtMs: 1.9e12,
    } as const;
    expect(encodeToken(fields)).toBe(TOKEN);
    const { id, secret, keyHash, ...rest } = decodeToken(TOKEN);
    expect([id, secret, keyHash].map(hex)).toEqual([fields.id, fields.secret, fields.keyHash].map(hex));
    expect(rest).toEqual({ role: 'machine', expiresAtMs: 1.9e12 });
  });

  it('the keys of a token, and what it proves', () => {
    const { hedge, proof, seed } = tokenKeys(run(0x40, 32));
    expect([hedge, proof, seed].map(hex)).toEqual([
      '788e49d49dac1b132997a0d3abd1b9df7c7fde5ed6e18bbcde1d1bfba51bea261a9c0854c288f343b005eeb32f8adc333bbaf3dbb99b04eddeb7c4b130e7ca87',
      'dade9f8dbbd094946388712a3a933bcf973d4adea6dc42ee9edce4c2d62a5861',
      '484bb2bdd65e40b4d56c07d4791ffd6379078b0b314f598b74f6d4475004f9eb1b7c18840bb0d8b2de41954e3a966454fa5ab0e1bdf4877dd443f99038273d2a',
    ]);
    expect(hex(enrollProof(proof, run(0, 32), run(1, 10)))).toBe(PROOF);
  });

  it('a request', () => {
    const recorded = `{"token":"${hex(run(0, 16))}","role":"machine","csr":"CSR","proof":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`;
    const { proof, ...rest } = decodeEnrollRequest(Buffer.from(recorded));
    expect(rest).toEqual({ token: hex(run(0, 16)), role: 'machine', csr: 'CSR' });
    expect(hex(proof)).toBe(hex(run(0, 32)));
    expect(JSON.parse(Buffer.from(encodeEnrollRequest({ ...rest, proof })).toString())).toEqual(
      JSON.parse(recorded),
    );
  });

  it('a signed list of roots', () => {
    const pem = `-----BEGIN CERTIFICATE-----\n${ROOT}\n-----END CERTIFICATE-----\n`;
    const document = { sequence: 3, roots: [pem], signatures: [SIGNATURE] };
    // Not decodeTrust: it looks at the clock, and this root ends in 2036.
    expect(isSignedBy(document, new X509Certificate(pem))).toBe(true);
    expect(isSignedBy({ ...document, sequence: 4 }, new X509Certificate(pem))).toBe(false);
    expect(trustFile(document)).toBe(`# lamplighter trust 3\n${pem}`);
  });
});

it('a policy: all of it, a change, and no change', () => {
  const before: Policy = {
    revokedNames: new Set(['web-2']),
    revokedSerials: new Set(['4F02']),
    quotas: new Map([['build-farm', { beaconsPerMinute: 6_000 }]]),
  };
  const after: Policy = { ...before, revokedNames: new Set() };
  const recorded = [
    '{"type":"snapshot","sequence":7}',
    '{"type":"part","names":["web-2"]}',
    '{"type":"part","serials":["4F02"]}',
    '{"type":"part","quotas":{"build-farm":{"beaconsPerMinute":6000}}}',
    '{"type":"complete","sequence":7,"entries":3}',
    '{"type":"change","after":7,"sequence":9,"add":{"names":[],"serials":[],"quotas":{}},"remove":{"names":["web-2"],"serials":[],"quotas":[]},"entries":2}',
    '{"type":"alive","sequence":9}',
  ];
  const change = encodePolicyChange({ policy: before, sequence: 7 }, { policy: after, sequence: 9 });
  expect([...encodePolicy(before, 7), change, encodePolicyAlive(9)].join('')).toBe(
    `${recorded.join('\n')}\n`,
  );
  const reader = new PolicyReader();
  const [whole, changed, ...none] = recorded.flatMap((line) => reader.read(line) ?? []);
  expect(none).toEqual([]);
  expect(whole !== undefined && isSamePolicy(whole, before)).toBe(true);
  expect(changed !== undefined && isSamePolicy(changed, after)).toBe(true);
});

it('a pollen answer', () => {
  const challenge = Buffer.from('challenge');
  const recorded = `8dc46595f7dc00d730463b109c1ca3c81981f7ce9c87c9fcb99107a03861de62f01f541a9678453bf267c5a1b109cb9a9550e36806248e1592a080ccba90fc43\n${hex(run(0, 64))}\n`;
  expect(Buffer.from(pollenAnswer(challenge, run(0, 64))).toString('latin1')).toBe(recorded);
  expect(hex(decodePollenAnswer(challenge, Buffer.from(recorded)))).toBe(hex(run(0, 64)));
});

describe('EGD', () => {
  it.each<[string, EgdRequest]>([
    ['00', { kind: 'level' }],
    ['0103', { kind: 'read', lengthBytes: 3, blocking: false }],
    ['0240', { kind: 'read', lengthBytes: 64, blocking: true }],
    ['030010020102', { kind: 'write', claimedBits: 16, data: run(1, 2) }],
    ['04', { kind: 'pid' }],
  ])('%s', (recorded, request) => {
    expect(hex(encodeEgdRequest(request))).toBe(recorded);
    const decoder = new EgdRequestDecoder();
    decoder.push(bytesOf(recorded));
    expect(decoder.next()).toEqual(request);
  });

  it.each<[string, Exclude<EgdRequest, { kind: 'write' }>, EgdReply]>([
    ['00000100', { kind: 'level' }, { kind: 'level', bits: 256 }],
    ['03070809', { kind: 'read', lengthBytes: 3, blocking: false }, { kind: 'read', bytes: run(7, 3) }],
    ['070809', { kind: 'read', lengthBytes: 3, blocking: true }, { kind: 'read', bytes: run(7, 3) }],
    ['023432', { kind: 'pid' }, { kind: 'pid', pid: '42' }],
  ])('the answer %s', (recorded, request, reply) => {
    expect(hex(encodeEgdReply(request, reply))).toBe(recorded);
    expect(new EgdReplyDecoder(request).push(bytesOf(recorded))).toEqual(reply);
  });
});

it('what goes over a virtio-serial port', () => {
  const frames: readonly CarrierFrame[] = [
    { type: 'open', session: 1n, payload: new Uint8Array() },
    // With both bytes that have to be escaped, in the header and in the payload.
    { type: 'data', session: 0xc0n, payload: Uint8Array.of(0xdb, 0xc0, 7) },
    { type: 'close', session: 1n, payload: new Uint8Array() },
  ];
  const recorded = [
    'c04c4c4331010000000000000001c0',
    'c04c4c43310200000000000000dbdcdbdddbdc07c0',
    'c04c4c4331030000000000000001c0',
  ];
  const encoded = frames.map(({ type, session, payload }) => hex(encodeCarrierFrame(type, session, payload)));
  expect(encoded).toEqual(recorded);
  const decoded = new CarrierDecoder().push(bytesOf(recorded.join('')));
  const plain = (all: readonly CarrierFrame[]) =>
    all.map((frame) => ({ ...frame, payload: hex(frame.payload) }));
  expect(plain(decoded)).toEqual(plain(frames));
});

it('a seed file, which the next version finds on the disk', () => {
  const record = { counter: 258n, machine: run(0x80, 32), seed: run(0x10, 64) };
  const recorded = `4c4c5344010000000000000102${hex(run(0x80, 32))}${hex(run(0x10, 64))}b55a0814f27ecf3b5506aaf05d7d11bea847314f3e43b5d8e1c9890fe40cc3ac`;
  expect(hex(encodeSeedFile(record))).toBe(recorded);
  expect(decodeSeedFile(bytesOf(recorded))).toEqual(record);
});

/** A root that was made for this page; its key is gone. */
const ROOT = `MIIBNDCB56ADAgECAhBBBuwqeEUfc4IIy5zjFnacMAUGAytlcDAZMRcwFQYDVQQD
Ew5MYW1wbGlnaHRlciBDQTAeFw0yNjExMjIwNzQyMjdaFw0zNjExMTkwNzQ3Mjda
MBkxFzAVBgNVBAMTDkxhbXBsaWdodGVyIENBMCowBQYDK2VwAyEAELk7n2j9r61R
If3mnhAb4TkFAchaysXCsANTQvvIfjqjRTBDMBIGA1UdEwEB/wQIMAYBAf8CAQAw
DgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBQ9lt6v200HVboTIiM+0ZAXAvHGyjAF
BgMrZXADQQAmLszhIs3CVWi0P+VnM/ZVlBBtVViQJBIfbPGh2sTv7Q61fmGfp9dl
OhVKwI9DS/QSYNxw/yNCEtQlXe8gFUsB`;
const SIGNATURE = {
  key: '95a3d162ea44f08ca512184ea728580b17ca0b71b32dc9e4836afd6631d9ad33',
  signature: 'KXl7js/eNpk/NHhGRuFprEl4a9DDKLXf6jS60LBNhPf6C2uG3q24HMwIsYYi9Hpm+yGAwNjFcF60AbJE+nU5AA==',
};
