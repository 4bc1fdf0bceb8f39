import { describe, expect, it } from 'vitest';
import { get, post, refusal, serveAdmin } from './served-admin.fixture.js';

const OPENED = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

describe('a request', () => {
  it.each([
    'evil.example',
    'evil.example:9600',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '192.0.2.1',
    '0.0.0.0',
    '127.0.0.1@evil.example',
    '[::2]:80',
  ])('by the foreign name %s is refused: DNS rebinding', async (host) => {
    const { ask } = await serveAdmin();
    expect(refusal(await ask(get('/v1/status', { host })))).toBe('403 ERR_ORIGIN');
    expect(refusal(await ask(get('/', { host })))).toBe('403 ERR_ORIGIN');
  });

  it.each(['localhost:1', '127.0.0.1', '127.0.0.9:80', '[::1]:9600', 'LOCALHOST'])(
    'by the own name %s is answered',
    async (host) => {
      const { ask } = await serveAdmin();
      expect((await ask(get('/v1/status', { host }))).status).toBe(200);
    },
  );

  it('without exactly one Host is refused', async () => {
    const { ask } = await serveAdmin();
    expect(refusal(await ask('GET /v1/status HTTP/1.1\r\n\r\n'))).toBe('400 ERR_BAD_REQUEST');
    const two = 'GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n';
    expect(refusal(await ask(two))).toBe('400 ERR_BAD_REQUEST');
  });

  it.each([
    ['another site', { origin: 'https://evil.example' }],
    ['another port of this machine', { origin: 'http://127.0.0.1:1' }],
    ['another scheme', { origin: 'https://127.0.0.1' }],
    ['another name of this machine', { origin: 'http://localhost' }],
    ['a sandboxed page', { origin: 'null' }],
    ['an empty one', { origin: '' }],
    ['another site, as the browser says', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }],
    ['another port, as the browser says', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' }],
    [
      'a frame of another site',
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
    ],
    ['something unheard of', { 'sec-fetch-site': 'mars' }],
  ])('of %s is refused, to read and to write', async (_what, headers) => {
    const { ask } = await serveAdmin();
    for (const path of ['/v1/status', '/v1/events', '/v1/session', '/', '/metrics']) {
      expect(refusal(await ask(get(path, headers))), path).toBe('403 ERR_ORIGIN');
    }
    expect(refusal(await ask(post('/v1/login', '{}', headers)))).toBe('403 ERR_ORIGIN');
  });

  it.each([
    ['a program', {}],
    ['our page', { origin: 'http://127.0.0.1', 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' }],
    ['a typed address', { 'sec-fetch-site': 'none', ...OPENED }],
    ['a link on another site', { 'sec-fetch-site': 'cross-site', ...OPENED }],
  ])('of %s is answered', async (_what, headers) => {
    const { ask } = await serveAdmin();
    expect((await ask(get('/v1/status', headers))).status).toBe(200);
  });

  it('that changes something is never taken from another site, however it was opened', async () => {
    const { ask, login } = await serveAdmin();
    const { cookie, csrf } = await login();
    const good = { cookie, 'x-lamplighter-csrf': csrf };
    for (const foreign of [
      { 'sec-fetch-site': 'cross-site', ...OPENED },
      { 'sec-fetch-site': 'none', ...OPENED },
      { origin: 'http://evil.example' },
    ]) {
      expect(refusal(await ask(post('/v1/draw', '{}', { ...good, ...foreign })))).toBe('403 ERR_ORIGIN');
    }
    // As a form would send it.
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
    ]) {
      const form = { ...good, 'content-type': type };
      expect(refusal(await ask(post('/v1/draw', '{}', form)))).toBe('400 ERR_BAD_REQUEST');
    }
    expect((await ask(post('/v1/draw', '{}', { ...good, origin: 'http://127.0.0.1' }))).status).toBe(200);
  });
});
