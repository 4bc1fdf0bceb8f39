import { describe, expect, it } from 'vitest';
import { get, post, refusal, serveAdmin } from './served-admin.fixture.js';
import { ADMIN_LIMITS } from './server.js';

describe('what a client can make long', () => {
  it('headers: refused', async () => {
    const { connect } = await serveAdmin();
    const peer = await connect();
    const answer = await peer.ask(get('/v1/status', { x: 'x'.repeat(ADMIN_LIMITS.maxHeaderBytes + 1_000) }));
    expect(refusal(answer)).toBe('400 ERR_BAD_REQUEST');
    expect(answer.body).toContain('headers are too long');
    await peer.closed;
  });

  it.each([
    ['a length', post('/v1/login', `{"token":"${'x'.repeat(2_000)}"}`)],
    [
      'chunks',
      `${get('/v1/login', { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }, 'POST')}800\r\n${'x'.repeat(2_048)}\r\n`,
    ],
    [
      'a length that waits to be asked for',
      get(
        '/v1/login',
        { 'content-type': 'application/json', 'content-length': '5000', expect: '100-continue' },
        'POST',
      ),
    ],
  ])('a body, told by %s: refused and closed', async (_how, request) => {
    const { connect } = await serveAdmin();
    const peer = await connect();
    expect(refusal(await peer.ask(request))).toBe('413 ERR_BODY_TOO_LARGE');
  });

  it('an endless body: cut off after a bounded number of bytes', async () => {
    const { connect } = await serveAdmin();
    const peer = await connect();
    const head = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' };
    const chunk = `1000\r\n${'x'.repeat(4_096)}\r\n`;
    expect((await peer.ask(get('/v1/login', head, 'POST') + chunk)).status).toBe(413);
    let sent = 0;
    while (!peer.socket.destroyed && sent < 64 * 1_048_576) {
      sent += chunk.length;
      const taken = new Promise((resolve) => {
        peer.socket.write(chunk, resolve);
      });
      await Promise.race([taken, peer.closed]);
    }
    await peer.closed;
    expect(sent).toBeLessThan(16 * 1_048_576);
  });

  it('a picture of who may not send one: not even read', async () => {
    const { connect } = await serveAdmin();
    const peer = await connect();
    const head = { 'content-type': 'image/jpeg', 'content-length': String(2 * 1_048_576) };
    expect(refusal(await peer.ask(get('/v1/cameras/wall/frames', head, 'POST')))).toBe('401 ERR_LOGIN');
  });

  it('a body is asked for when its sender waits for that', async () => {
    const { connect } = await serveAdmin();
    const peer = await connect();
    const head = { 'content-type': 'application/json', 'content-length': '2', expect: '100-continue' };
    peer.socket.write(get('/v1/login', head, 'POST'));
    await peer.until('HTTP/1.1 100 Continue\r\n\r\n');
    expect(refusal(await peer.ask('{}'))).toBe('401 ERR_LOGIN');
  });

  it('the time for its headers: told and closed', { timeout: 15_000 }, async () => {
    const { connect } = await serveAdmin();
    const peer = await connect();
    const answer = await peer.ask('GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ');
    expect(refusal(answer)).toBe('400 ERR_BAD_REQUEST');
    expect(answer.body).toContain('did not come in time');
    await peer.closed;
  });

  it('the same, without having asked for anything: closed without a word', { timeout: 15_000 }, async () => {
    const { connect } = await serveAdmin();
    const peer = await connect();
    let heard = '';
    peer.socket.on('data', (chunk: Buffer) => (heard += String(chunk)));
    await peer.closed;
    expect(heard).toBe('');
  });

  it.each(['\x16\x03\x01\x02', '\0'.repeat(64), 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n'])(
    'garbage: told and closed: %j',
    async (garbage) => {
      const { connect } = await serveAdmin();
      const peer = await connect();
      expect(refusal(await peer.ask(garbage))).toBe('400 ERR_BAD_REQUEST');
      await peer.closed;
    },
  );
});
