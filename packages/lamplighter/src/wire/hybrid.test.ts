import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { testAuthority } from '../identity/made-certificates.fixture.js';
import { loadTlsFiles } from '../identity/tls-files.js';
import { fetchBeacon } from './beacon.js';
import type { Upstream } from './client.js';
import { Listener } from './listener.js';

const HYBRID = 'X25519MLKEM768';
const [major = 0, minor = 0] = process.versions.openssl.split('.').map(Number);
const hasHybrid = major > 3 || (major === 3 && minor >= 5);

const authority = await testAuthority();
const relay = await authority.material({ role: 'relay', name: 'relay' });
const machine = await authority.material({ role: 'machine', name: 'machine' });

/** Any bytes, as a beacon. */
async function answering(requireHybrid: boolean): Promise<{ listener: Listener; port: number }> {
  const listener = new Listener({ ...relay, requireHybrid });
  listener.route({
    method: 'POST',
    path: '/v1/beacon',
    roles: ['machine'],
    maxBodyBytes: 64,
    handle: async (exchange) =>
      exchange.reply(200, { 'content-type': 'application/octet-stream' }, new Uint8Array(64)),
  });
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  return { listener, port };
}

const ask = (port: number, requireHybrid: boolean) => {
  const upstream: Upstream = {
    url: new URL(`https://127.0.0.1:${port}`),
    tls: { ...machine, requireHybrid },
    roles: ['relay'],
    name: 'relay',
  };
  return fetchBeacon(upstream, { nonce: new Uint8Array(32), deadlineMs: 5_000 });
};

/*
 * What is recorded today may be decrypted one day: with a hybrid key exchange that takes breaking X25519 and ML-KEM-768 both.
 */
describe.skipIf(!hasHybrid)('hybrid key exchange, on a runtime that has it', () => {
  it.each([
    ['asked for by nobody', false, false],
    ['required by the client', true, false],
    ['required by the server', false, true],
    ['required by both', true, true],
  ])('is used and reported: %s', async (_, byClient, byServer) => {
    const { listener, port } = await answering(byServer);
    expect((await ask(port, byClient)).group).toBe(HYBRID);
    await listener.stop(1_000);
  });

  it('required by a server, refuses a client that has only what can be broken', async () => {
    const { listener, port } = await answering(true);
    const { ca, cert, key } = machine;
    const socket = tls.connect({ port, host: '127.0.0.1', ca, cert, key, ecdhCurve: 'X25519' });
    await expect(once(socket, 'secureConnect')).rejects.toThrow(/handshake/i);
    expect(listener.connections).toBe(0);
    await listener.stop(1_000);
  });

  it('required by a client, refuses a server that has only what can be broken, before it sends anything', async () => {
    const { ca, cert, key } = relay;
    let read = 0;
    const server = tls.createServer({ ca, cert, key, ecdhCurve: 'X25519' }, (socket) => {
      socket.on('data', (bytes: Buffer) => (read += bytes.length)).on('error', () => undefined);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await expect(ask(port, true)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL' });
    expect(read).toBe(0);
    await new Promise((resolve) => server.close(resolve));
  });
});

describe.skipIf(hasHybrid)('hybrid key exchange, on a runtime that has none', () => {
  it('cannot be required: the configuration is refused', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lamplighter-'));
    const paths = { ca: join(folder, 'ca'), cert: join(folder, 'cert'), key: join(folder, 'key') };
    await writeFile(paths.ca, machine.ca);
    await writeFile(paths.cert, machine.cert);
    await writeFile(paths.key, machine.key, { mode: 0o600 });
    expect((await loadTlsFiles(paths)).identity.name).toBe('machine');
    await expect(loadTlsFiles({ ...paths, requireHybrid: true })).rejects.toMatchObject({
      code: 'ERR_CONFIG',
    });
    await rm(folder, { recursive: true });
  });
});
