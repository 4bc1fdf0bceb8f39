import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { certificateError, upstreamError, type UpstreamStage } from './upstream-error.js';

function withCode(code: string): Error {
  return Object.assign(new Error('text of node, which may say anything'), { code });
}

describe('upstreamError', () => {
  it.each<[string, UpstreamStage, string]>([
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED', 'reused', 'ERR_UPSTREAM_REFUSED_US'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['ERR_SSL_TLSV1_ALERT_ACCESS_DENIED', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'connect', 'ERR_UPSTREAM_PROTOCOL'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'connect', 'ERR_UPSTREAM_PROTOCOL'],
    ['HPE_INVALID_CONSTANT', 'answer', 'ERR_UPSTREAM_PROTOCOL'],
    ['ECONNRESET', 'connect', 'ERR_UPSTREAM_UNREACHABLE'],
    ['ECONNRESET', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['EPIPE', 'answer', 'ERR_UPSTREAM_REFUSED_US'],
    ['ECONNRESET', 'reused', 'ERR_UPSTREAM_UNREACHABLE'],
    ['ECONNRESET', 'body', 'ERR_UPSTREAM_UNREACHABLE'],
    ['ECONNREFUSED', 'connect', 'ERR_UPSTREAM_UNREACHABLE'],
    ['EHOSTUNREACH', 'connect', 'ERR_UPSTREAM_UNREACHABLE'],
    ['ESOMETHINGNEW', 'connect', 'ERR_UPSTREAM_UNREACHABLE'],
  ])('%s at stage %s is %s, and keeps the code in its text', (code, stage, expected) => {
    const cause = withCode(code);
    const error = upstreamError(cause, 'relay:8443', stage);
    expect(error).toMatchObject({ code: expected, cause });
    expect(error.message).toContain(code);
    expect(error.message).toContain('relay:8443');
    expect(error.message).not.toContain('text of node');
  });

  it('leaves our own errors as they are', () => {
    const ours = new LamplighterError('ERR_DEADLINE', 'too late');
    expect(upstreamError(ours, 'relay:8443', 'answer')).toBe(ours);
  });

  it('makes something of what is no error', () => {
    expect(upstreamError('x', 'relay:8443', 'connect').code).toBe('ERR_UPSTREAM_UNREACHABLE');
  });
});

describe('certificateError', () => {
  it('says what to do about a clock, and about anything else', () => {
    expect(certificateError('CERT_NOT_YET_VALID', 'relay:8443', undefined).hint).toContain('clock');
    expect(certificateError('SELF_SIGNED_CERT_IN_CHAIN', 'relay:8443', undefined).hint).toContain('ca.pem');
  });
});
