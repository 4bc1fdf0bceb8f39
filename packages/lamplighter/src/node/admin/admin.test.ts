import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { NodeStatus } from '../../wire/status.js';
import { get, post, refusal, serveAdmin, STATUS, temporaryFolder } from './served-admin.fixture.js';

const CAMERA = '/v1/cameras/wall';

describe('the admin listener on loopback', () => {
  it('is healthy but not ready before the node is seeded, and ready when it serves', async () => {
    let state: NodeStatus['state'] = 'starting';
    const { ask } = await serveAdmin({}, { status: () => ({ ...STATUS, state }) });
    expect((await ask(get('/healthz'))).status).toBe(200);
    expect(await ask(get('/readyz'))).toMatchObject({ status: 503 });
    state = 'degraded';
    expect(await ask(get('/readyz'))).toMatchObject({ status: 200 });
  });

  it('says the same in status and metrics, however often it is scraped', async () => {
    const { ask } = await serveAdmin();
    const status = await ask(get('/v1/status'));
    expect(status.headers['content-type']).toBe('application/json');
    expect(JSON.parse(status.body)).toEqual(STATUS);
    await ask(get('/metrics'));
    const { body, headers } = await ask(get('/metrics'));
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(body).toContain('lamplighter_reseeds_total 7');
    expect(body).toContain('lamplighter_source_bytes_total{source="wall",kind="camera"} 1000');
    expect(body).toContain('lamplighter_outlet_bytes_total{outlet="feed",kind="feed"} 64');
    expect(body).toContain('lamplighter_basis{word="simulated"} 1');
    expect(body).toContain('lamplighter_ready 0');
  });

  it('puts the same headers on every answer, good or bad', async () => {
    const { ask, connect } = await serveAdmin();
    const requests = [
      ...['/healthz', '/readyz', '/metrics', '/v1/status', '/v1/history', '/v1/session', '/', '/nothing'].map(
        (path) => get(path),
      ),
      get('/v1/status', { host: 'evil.example' }),
      get('/v1/status', {}, 'DELETE'),
      post('/v1/draw', '{}'),
      post('/v1/login', '[]'),
      'this is not HTTP\r\n\r\n',
    ];
    for (const request of requests) {
      const { headers } = await ask(request);
      expect(headers, request).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
        'permissions-policy': expect.stringContaining('camera=()') as string,
      });
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
    const stream = await connect();
    stream.socket.write(get('/v1/events'));
    await stream.until('data: ');
    expect(stream.text).toContain('content-type: text/event-stream\r\n');
    expect(stream.text).toContain('cache-control: no-store\r\n');
    expect(stream.text).toContain('x-content-type-options: nosniff\r\n');
  });

  it.each([
    [404, 'ERR_NOT_FOUND', get('/../etc/passwd')],
    [404, 'ERR_NOT_FOUND', get('/constructor')],
    [404, 'ERR_NOT_FOUND', get('/assets/../../package.json')],
    [404, 'ERR_NOT_FOUND', get('http://127.0.0.1/v1/status')],
    [404, 'ERR_NOT_FOUND', get(`/v1/cameras/${'x'.repeat(64)}/preview`)],
    [404, 'ERR_NOT_FOUND', get('/v1/cameras/..%2fx/preview')],
    [405, 'ERR_METHOD', post('/v1/status', '{}')],
    [405, 'ERR_METHOD', get('/v1/status', {}, 'OPTIONS')],
    [405, 'ERR_METHOD', get('/v1/draw')],
    [405, 'ERR_METHOD', get('/v1/logout')],
    [405, 'ERR_METHOD', get('/v1/login?token=x')],
    [400, 'ERR_BAD_REQUEST', get('/v1/history?span=year')],
  ])('answers with %i %s: %j', async (status, code, request) => {
    const { ask } = await serveAdmin();
    const answer = await ask(request);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(refusal(answer)).toBe(`${status} ${code}`);
  });

  it('knows its paths', async () => {
    const { ask, connect } = await serveAdmin();
    expect((await ask(get('/v1/status?x=1'))).status).toBe(200);
    expect((await ask(post('/v1/status', '{}'))).headers['allow']).toBe('GET, HEAD');
    const peer = await connect();
    peer.socket.write(get('/healthz', { connection: 'close' }, 'HEAD'));
    await peer.closed;
    expect(peer.text).toMatch(/content-length: 3\r\n[^]*\r\n\r\n$/);
  });

  it('tells its history, made once a second however many ask', async () => {
    const { ask, looks, environment } = await serveAdmin();
    const first = await ask(get('/v1/history?span=hour'));
    expect(JSON.parse(first.body)).toMatchObject({ version: 1, series: { beacons: [2] } });
    await ask(get('/v1/history'));
    expect(looks.history).toBe(1);
    environment.advance(1_000);
    await ask(get('/v1/history'));
    await ask(get('/v1/history?span=day'));
    expect(looks.history).toBe(3);
  });

  it('answers 500 without detail when a part of the node fails, and goes on', async () => {
    const { ask, logged } = await serveAdmin(
      {},
      {
        status: () => {
          throw new Error('secret path');
        },
      },
    );
    const answer = await ask(get('/v1/status'));
    expect(refusal(answer)).toBe('500 ERR_INTERNAL');
    expect(answer.body).not.toContain('secret');
    expect(logged).toHaveLength(1);
    expect((await ask(get('/healthz'))).status).toBe(200);
  });

  it('says when its port is in use', async () => {
    const { port } = await serveAdmin();
    await expect(serveAdmin({ port })).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' });
  });

  it('stops at once, whatever is open', async () => {
    let state: NodeStatus['state'] = 'ready';
    const { admin, connect } = await serveAdmin({}, { status: () => ({ ...STATUS, state }) });
    const stream = await connect();
    stream.socket.write(get('/v1/events'));
    await stream.until('data: ');
    const silent = await connect();
    state = 'stopping';
    await admin.stop();
    await Promise.all([stream.closed, silent.closed]);
    expect(stream.text).toMatch(/event: status\ndata: .*"state":"stopping".*\n\n$/);
    await admin.stop();
  });
});

describe('the pages', () => {
  it('are what was built, with what each may do, and nothing else of the folder', async () => {
    const pages = await temporaryFolder();
    await mkdir(join(pages, 'assets'));
    for (const name of ['index', 'login', 'camera']) await writeFile(join(pages, `${name}.html`), name);
    await writeFile(join(pages, 'secret.html'), 'secret');
    await writeFile(join(pages, 'assets', 'page.js'), 'js');
    await writeFile(join(pages, 'assets', 'page.exe'), 'exe');
    const { ask } = await serveAdmin({ pages });
    const index = await ask(get('/'));
    expect(index).toMatchObject({ status: 200, body: 'index' });
    expect(index.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(index.headers['content-security-policy']).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    expect((await ask(get('/login'))).body).toBe('login');
    const camera = await ask(get('/camera'));
    expect(camera.headers['content-security-policy']).toContain("; media-src 'self' blob:");
    expect(camera.headers['permissions-policy']).toContain('camera=(self)');
    const script = await ask(get('/assets/page.js'));
    expect(script).toMatchObject({ status: 200, body: 'js' });
    expect(script.headers['content-type']).toBe('text/javascript; charset=utf-8');
    for (const path of [
      '/assets/page.exe',
      '/secret.html',
      '/index.html',
      '/assets/',
      '/assets/../index.html',
    ]) {
      expect((await ask(get(path))).status, path).toBe(404);
    }
  });

  it('say so when they were not built', async () => {
    const { ask } = await serveAdmin();
    expect(await ask(get('/'))).toMatchObject({
      status: 404,
      body: 'the dashboard was not built; build it with: npm run build\n',
    });
  });
});

describe('a camera', () => {
  const png = Uint8Array.of(0x89, 0x50);
  const parts = {
    camera: (name: string) =>
      name === 'wall'
        ? { preview: () => Promise.resolve(png), noise: () => Promise.resolve(undefined) }
        : undefined,
  };

  it('shows its pictures where it has them', async () => {
    const { ask } = await serveAdmin({}, parts);
    const preview = await ask(get(`${CAMERA}/preview`));
    expect(preview).toMatchObject({ status: 200, body: '\x89P' });
    expect(preview.headers['content-type']).toBe('image/png');
    const none = await ask(get(`${CAMERA}/noise`));
    expect(none).toMatchObject({ status: 204, body: '' });
    expect(refusal(await ask(get('/v1/cameras/other/preview')))).toBe('404 ERR_NOT_FOUND');
  });

  it('shows none where that is switched off', async () => {
    const { ask } = await serveAdmin({ preview: false }, parts);
    expect((await ask(get(`${CAMERA}/preview`))).status).toBe(204);
  });

  it('of a browser takes pictures of a session, and says why it does not', async () => {
    const heard: string[] = [];
    const given: Uint8Array[] = [];
    let error: Error | undefined;
    const frame = (jpeg: Uint8Array, { page }: { page: string }): void => {
      if (error) throw error;
      heard.push(`${page} ${Buffer.from(jpeg).toString()}`);
      given.push(jpeg);
    };
    const door = {
      preview: () => Promise.resolve(undefined),
      noise: () => Promise.resolve(undefined),
      frame,
    };
    const { ask, login } = await serveAdmin({}, { camera: (name) => (name === 'phone' ? door : undefined) });
    const path = '/v1/cameras/phone/frames';
    const jpeg = { 'content-type': 'image/jpeg', 'x-lamplighter-page': 'p' };
    expect(refusal(await ask(post(path, 'x', jpeg)))).toBe('401 ERR_LOGIN');
    const { cookie, csrf } = await login();
    expect(refusal(await ask(post(path, 'x', { ...jpeg, cookie })))).toBe('403 ERR_ORIGIN');
    const headers = { ...jpeg, cookie, 'x-lamplighter-csrf': csrf };
    expect((await ask(post(path, 'picture', headers))).status).toBe(204);
    expect(heard).toEqual(['p picture']);
    expect(given[0]?.every((byte) => byte === 0)).toBe(true);
    expect(refusal(await ask(post('/v1/cameras/wall/frames', 'x', headers)))).toBe('404 ERR_NOT_FOUND');
    expect(refusal(await ask(post(path, 'x', { ...headers, 'content-type': 'text/plain' })))).toBe(
      '400 ERR_BAD_REQUEST',
    );
    const { LamplighterError } = await import('@lamplighter/core');
    error = new LamplighterError('ERR_QUOTA', 'too fast', { retryAfterMs: 1_500 });
    const slower = await ask(post(path, 'x', headers));
    expect(refusal(slower)).toBe('429 ERR_QUOTA');
    expect(slower.headers['retry-after']).toBe('2');
    expect(heard).toHaveLength(1);
  });
});
