import { request } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { NodeStatus } from '../wire/status.js';
import { type AdminServer, startAdmin } from './admin.js';

const STATUS: NodeStatus = {
  version: 1,
  name: 'here',
  software: 'lamplighter 0',
  pid: 1,
  state: 'starting',
  reasons: [{ code: 'ERR_NOT_SEEDED', message: 'the OS RNG has not answered' }],
  uptimeMs: 1_500,
  hedge: { state: 'off' },
  basis: ['simulated'],
  generator: { schedule: 'classic', seeded: false, reseeds: 7, directReseeds: 2 },
  sources: [
    {
      name: 'wall',
      kind: 'camera',
      required: false,
      state: 'ok',
      basis: { simulated: true, degraded: false, physical: false },
      details: {},
      bytes: 1_000,
      events: 10,
    },
  ],
  outlets: [{ name: 'feed', kind: 'feed', state: 'ok', bytes: 64, details: {} }],
  configuration: { file: 'node.yaml', reloads: 0 },
};

let admin: AdminServer | undefined;
afterEach(() => admin?.stop());

function ask(
  path: string,
  options: { method?: string; host?: string } = {},
): Promise<{ status: number | undefined; headers: Record<string, unknown>; body: string }> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', host } = options;
    request(`${admin?.url ?? ''}${path}`, { method, ...(host && { headers: { host } }) }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    })
      .on('error', reject)
      .end();
  });
}

const here = { host: '127.0.0.1', port: 0 };

describe('admin listener', () => {
  it('is healthy but not ready before the node is seeded, and ready when it serves', async () => {
    let state: NodeStatus['state'] = 'starting';
    admin = await startAdmin(here, () => ({ ...STATUS, state }));
    expect((await ask('/healthz')).status).toBe(200);
    expect(await ask('/readyz')).toMatchObject({ status: 503 });
    state = 'degraded';
    expect(await ask('/readyz')).toMatchObject({ status: 200 });
  });

  it('says the same in status and metrics, however often it is scraped', async () => {
    admin = await startAdmin(here, () => STATUS);
    expect(JSON.parse((await ask('/v1/status')).body)).toEqual(STATUS);
    await ask('/metrics');
    const { body } = await ask('/metrics');
    expect(body).toContain('lamplighter_reseeds_total 7');
    expect(body).toContain('lamplighter_source_bytes_total{source="wall",kind="camera"} 1000');
    expect(body).toContain('lamplighter_outlet_bytes_total{outlet="feed",kind="feed"} 64');
    expect(body).toContain('lamplighter_basis{word="simulated"} 1');
    expect(body).toContain('lamplighter_ready 0');
  });

  it('never lets its answers be stored', async () => {
    admin = await startAdmin(here, () => STATUS);
    for (const path of ['/healthz', '/readyz', '/metrics', '/v1/status', '/nothing']) {
      expect((await ask(path)).headers['cache-control']).toBe('no-store');
    }
  });

  it('knows its paths and only reads', async () => {
    admin = await startAdmin(here, () => STATUS);
    expect((await ask('/v1/status?x=1')).status).toBe(200);
    expect((await ask('/../etc/passwd')).status).toBe(404);
    expect((await ask('/constructor')).status).toBe(404);
    expect((await ask('/v1/status', { method: 'POST' })).status).toBe(405);
    expect((await ask('/healthz', { method: 'HEAD' })).body).toBe('');
  });

  it('refuses a foreign host name on loopback: DNS rebinding', async () => {
    admin = await startAdmin(here, () => STATUS);
    for (const host of ['evil.example', 'evil.example:9600', '127.0.0.1.evil.example']) {
      expect((await ask('/v1/status', { host })).status).toBe(403);
    }
    for (const host of ['localhost:1', '127.0.0.1', '[::1]:9600']) {
      expect((await ask('/v1/status', { host })).status).toBe(200);
    }
  });

  it('says when its port is in use', async () => {
    admin = await startAdmin(here, () => STATUS);
    const port = Number(new URL(admin.url).port);
    await expect(startAdmin({ host: '127.0.0.1', port }, () => STATUS)).rejects.toMatchObject({
      code: 'ERR_PORT_IN_USE',
    });
  });
});
