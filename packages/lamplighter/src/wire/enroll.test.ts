import { describe, expect, it } from 'vitest';
import { decodeEnrollRequest, encodeEnrollRequest, enrollProof, type EnrollRequest } from './enroll.js';

const REQUEST: EnrollRequest = {
  token: '0123456789abcdef0123456789abcdef',
  role: 'machine',
  csr: 'a request',
  proof: Uint8Array.from({ length: 32 }, (_, index) => 255 - index),
};

describe('a request for enrolment', () => {
  it('is read back', () => {
    const read = decodeEnrollRequest(encodeEnrollRequest(REQUEST));
    expect({ ...read, proof: Uint8Array.from(read.proof) }).toEqual(REQUEST);
  });

  const proof = Buffer.from(REQUEST.proof).toString('base64');
  const whole = { ...REQUEST, proof };
  it.each<[string, string]>([
    ['nothing', ''],
    ['no JSON', '{"token":'],
    ['a list', '[]'],
    ['null', 'null'],
    ['no token', JSON.stringify({ ...whole, token: undefined })],
    ['a path as token', JSON.stringify({ ...whole, token: '../../../../../../../etc/passwd' })],
    ['a token in capitals', JSON.stringify({ ...whole, token: whole.token.toUpperCase() })],
    ['another role', JSON.stringify({ ...whole, role: 'root' })],
    ['a number as CSR', JSON.stringify({ ...whole, csr: 1 })],
    ['a short proof', JSON.stringify({ ...whole, proof: proof.slice(4) })],
    ['a proof of two spellings', JSON.stringify({ ...whole, proof: proof.replace('=', '') })],
    ['a list as proof', JSON.stringify({ ...whole, proof: [1, 2] })],
    ['a field too many', JSON.stringify({ ...whole, name: 'web-1' })],
    ['more than 16 KiB', JSON.stringify({ ...whole, csr: 'A'.repeat(16_384) })],
  ])('is not %s', (_what, text) => {
    expect(() => decodeEnrollRequest(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: 'ERR_BAD_REQUEST' }),
    );
  });
});

describe('the proof', () => {
  /** HKDF(secret 00 01 … 1f, "proof"), see token.test.ts; made with Python's hmac and hashlib. */
  const key = Buffer.from('221248168bbd9f42804ca3a4f81bc1008819d43baf2309a6327533dfed65f1ba', 'hex');

  it('is HMAC-SHA-256(key, exporter ‖ SHA-256(CSR))', () => {
    const proof = enrollProof(key, new Uint8Array(32).fill(7), Buffer.from('csr'));
    expect(Buffer.from(proof).toString('hex')).toBe(
      'ab6b486ac303710011a06d2d3e23d5c166e8dc919213c65ae0d5d38c28517ffe',
    );
  });

  it('needs a whole exporter', () => {
    expect(() => enrollProof(key, new Uint8Array(31), Buffer.from('csr'))).toThrow(RangeError);
  });
});
