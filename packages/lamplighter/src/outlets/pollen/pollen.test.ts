import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { hmac } from '@lamplighter/core';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type TestAuthority, testAuthority } from '../../identity/made-certificates.fixture.js';
import { systemEnvironment } from '../../local/environment.js';
import type { TlsMaterial } from '../../identity/tls-files.js';
import { pollenAnswer } from '../../wire/pollen.js';
import { frozenEnvironment, type TestNode, testNode } from '../context.fixture.js';
import { describeOutletCompliance } from '../outlet.compliance.js';
import { WITHIN } from '../../within.fixture.js';
import { ask, form } from './client.fixture.js';
import { type PollenOutlet, pollenOutlet, type PollenOutletOptions } from './pollen.js';

const ANY_PORT = { host: '127.0.0.1', port: 0 };

let authority: TestAuthority;
let own: TlsMaterial;
beforeAll(async () => {
  authority = await testAuthority();
  own = await authority.material({ role: 'relay', name: 'relay-1' });
});

const outlets: PollenOutlet[] = [];
afterEach(async () => {
  await Promise.all(outlets.splice(0).map((outlet) => outlet.stop(0)));
});

function make(options: Partial<PollenOutletOptions> = {}): PollenOutlet {
  const outlet = pollenOutlet({
    name: 'pollen',
    perMinute: 1_000,
    environment: systemEnvironment(),
    tls: () => own,
    ...(options.https === undefined && { http: ANY_PORT }),
    ...options,
  });
  outlets.push(outlet);
  return outlet;
}

function portOf(outlet: PollenOutlet, scheme: 'http' | 'https' = 'http'): number {
  return Number(String(outlet.status().details[scheme]).split(':').at(-1));
}

/** An outlet of a node that is seeded, and where it listens. */
async function serving(
  options: Partial<PollenOutletOptions> = {},
): Promise<{ outlet: PollenOutlet; node: TestNode; port: number }> {
  const outlet = make(options);
  const node = testNode(options.environment);
  node.seed();
  await outlet.start(node.context, new AbortController().signal);
  return { outlet, node, port: portOf(outlet, options.https === undefined ? 'http' : 'https') };
}

const sha512 = (text: string): string => createHash('sha512').update(text).digest('hex');

describeOutletCompliance('pollen', async () => {
  const outlet = make();
  return {
    outlet,
    ask: async () => {
      const { status, body } = await ask(portOf(outlet), form('the same each time'));
      // What is public must differ in what is random.
      return status === 200 ? Buffer.from(body).subarray(129) : undefined;
    },
    cleanUp: () => Promise.resolve(),
  };
});

describe('an answer', () => {
  it('is what pollen answers, but for the random half', async () => {
    const { port } = await serving();
    const { status, headers, body } = await ask(port, form('abc'));
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': '258',
      'cache-control': 'no-store',
    });
    expect(body).toMatch(/^[0-9a-f]{128}\n[0-9a-f]{128}\n$/);
    expect(body.slice(0, 128)).toBe(sha512('abc'));
  });

  it('is never given twice, also not to one challenge', async () => {
    const { port } = await serving();
    const bodies = await Promise.all(Array.from({ length: 50 }, () => ask(port, form('abc'))));
    const halves = bodies.map(({ body }) => body.slice(129));
    expect(new Set(halves).size).toBe(50);
    for (const half of halves) expect(half).not.toContain(sha512('abc'));
  });

  it('is the HMAC of the challenge under 64 bytes of a stream of its own', async () => {
    const environment = frozenEnvironment();
    const { port } = await serving({ environment });
    const twin = testNode(environment);
    twin.seed();
    const stream = twin.context.stream('pollen');
    for (const challenge of ['abc', 'x'.repeat(500)]) {
      const random = hmac('sha512', stream.read(64), Buffer.from(challenge));
      const expected = Buffer.from(pollenAnswer(Buffer.from(challenge), random)).toString('latin1');
      expect((await ask(port, form(challenge))).body).toBe(expected);
    }
  });

  it('of two clones in one state differs as soon as their challenges do', async () => {
    const environment = frozenEnvironment();
    const clones = [await serving({ environment }), await serving({ environment })];
    const [first = '', second = ''] = await Promise.all(
      clones.map(async ({ port }, index) => (await ask(port, form(`machine ${index}`))).body.slice(129)),
    );
    expect(first).toHaveLength(129);
    expect(first).not.toBe(second);
  });

  it('is for any path and method', async () => {
    const { port } = await serving();
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const reply = await ask(port, { method, path: '/v1/beacon?challenge=abc' });
      expect(reply.body.slice(0, 128), method).toBe(sha512('abc'));
    }
    const head = await ask(port, { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, body: '', headers: { 'content-length': '258' } });
  });
});

describe('a refusal', () => {
  it('is 503 before the node is seeded, and when it stops', async () => {
    const outlet = make();
    const node = testNode();
    await outlet.start(node.context, new AbortController().signal);
    const early = await ask(portOf(outlet), form('abc'));
    expect(early).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(early.body).toContain('ERR_NOT_SEEDED');
    node.seed();
    node.state = 'stopping';
    expect((await ask(portOf(outlet), form('abc'))).status).toBe(503);
    node.state = 'degraded';
    expect((await ask(portOf(outlet), form('abc'))).status).toBe(200);
    expect(outlet.status().details).toMatchObject({ answers: 1, refused: 2 });
  });

  it('is 400 without a challenge', async () => {
    const { port, outlet } = await serving();
    for (const question of [
      { path: '/' },
      { path: '/?challenge=' },
      form(''),
      { ...form('abc'), headers: {} },
    ]) {
      const { status, headers, body } = await ask(port, { path: '/', ...question });
      expect(status).toBe(400);
      expect(headers['content-type']).toBe('text/plain; charset=utf-8');
      expect(body).toContain('ERR_CHALLENGE');
    }
    expect(outlet.status().bytes).toBe(0);
  });

  it('is 413 for a challenge that is too long, however long it is said to be', async () => {
    const { port } = await serving();
    expect((await ask(port, form('a'.repeat(8_182)))).status).toBe(200);
    expect((await ask(port, form('a'.repeat(8_183)))).status).toBe(413);
    expect((await ask(port, form('a'.repeat(1_048_576)))).status).toBe(413);
    const chunked = { ...form(''), headers: { ...form('').headers, 'transfer-encoding': 'chunked' } };
    expect((await ask(port, { ...chunked, body: `challenge=${'a'.repeat(20_000)}` })).status).toBe(413);
    expect((await ask(port, { path: `/?challenge=${'a'.repeat(20_000)}` })).status).toBe(400);
  });

  it('is 429 for an address that floods, while others are served', async () => {
    const { port, outlet } = await serving({ perMinute: 10 });
    const replies = await Promise.all(Array.from({ length: 30 }, () => ask(port, form('abc'))));
    const refused = replies.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(20);
    for (const { headers, body } of refused) {
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(6);
      expect(body).toContain('ERR_QUOTA');
    }
    expect((await ask(port, { ...form('abc'), from: '127.0.0.2' })).status).toBe(200);
    expect(outlet.status().details).toMatchObject({ answers: 11, overBudget: 20, addresses: 2 });
  });
});

describe('what is asked with', () => {
  it('is heard as a hash, once an answer, and never when there was none', async () => {
    const heard: Uint8Array[] = [];
    const outlet = make({ perMinute: 3 });
    const node = testNode();
    const context = { ...node.context, hear: (bytes: Uint8Array) => heard.push(Uint8Array.from(bytes)) };
    await outlet.start(context, new AbortController().signal);
    const port = portOf(outlet);
    expect((await ask(port, form('early'))).status).toBe(503);
    node.seed();
    expect((await ask(port, { path: '/' })).status).toBe(400);
    expect((await ask(port, form('abc'))).status).toBe(200);
    expect((await ask(port, form('late'))).status).toBe(429);
    expect(heard.map((bytes) => Buffer.from(bytes).toString('hex'))).toEqual([
      createHash('sha256').update('abc').digest('hex'),
    ]);
  });
});

describe('over TLS', () => {
  const https = ANY_PORT;
  const trust = () => ({ ca: authority.pem, servername: 'localhost' });

  it('answers whoever trusts the CA of the node, by TLS 1.3 and no session', async () => {
    const { port, outlet } = await serving({ https });
    const reply = await ask(port, { ...form('abc'), tls: trust() });
    expect(reply).toMatchObject({ status: 200, headers: { 'content-length': '258' } });
    expect(outlet.status().details).toMatchObject({ clientsOverHttps: 'anyone', answers: 1 });
    expect(outlet.status().details).not.toHaveProperty('answersOverHttp');
    await expect(ask(port, { tls: { ...trust(), maxVersion: 'TLSv1.2' } })).rejects.toThrow(
      /alert|protocol/i,
    );
    const other = await testAuthority();
    await expect(ask(port, { tls: { ...trust(), ca: other.pem } })).rejects.toThrow(/verify|signature/i);
  });

  it('uses the certificate of the node as it is at a reload', async () => {
    let now = own;
    const { port, outlet } = await serving({ https, tls: () => now });
    const other = await testAuthority();
    now = await other.material({ role: 'relay', name: 'relay-1' });
    await outlet.reloadTls();
    const reply = await ask(port, { tls: { ...trust(), ca: other.pem } });
    expect(reply.status).toBe(200);
  });
});

describe('its listeners', () => {
  it('are both served, and a cut reaches both', async () => {
    const { outlet, port } = await serving({ http: ANY_PORT, https: ANY_PORT });
    expect((await ask(portOf(outlet, 'http'))).status).toBe(200);
    expect(outlet.cut()).toBe(0);
    const idle = [port, portOf(outlet, 'http')].map((each) => net.connect(each, '127.0.0.1'));
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    const gone = idle.map(
      (socket) =>
        new Promise<void>((resolve) => socket.on('error', () => undefined).on('close', () => resolve())),
    );
    // Both ends of a connection do not know of it at the same time.
    let cut = 0;
    await vi.waitFor(() => expect((cut += outlet.cut())).toBe(2), WITHIN);
    await Promise.all(gone);
    expect((await ask(portOf(outlet, 'http'))).status).toBe(200);
  });

  it('look for a clone before each request', async () => {
    const before = vi.fn();
    const { port } = await serving({ listening: { before } });
    await ask(port);
    await ask(port, { path: '/' });
    expect(before).toHaveBeenCalledTimes(2);
  });

  it('say that what goes in the clear is public, and count it', async () => {
    const { outlet, port } = await serving();
    await ask(port);
    expect(outlet.status().details).toMatchObject({ answersOverHttp: 'public', answersInClear: 1 });
  });

  it('are refused by name when their port is taken, and let go of everything when they stop', async () => {
    const { outlet, port } = await serving();
    const second = make({ http: { host: '127.0.0.1', port } });
    await expect(second.start(testNode().context, new AbortController().signal)).rejects.toMatchObject({
      code: 'ERR_PORT_IN_USE',
    });
    const waiting = net.connect(port, '127.0.0.1');
    await once(waiting, 'connect');
    await outlet.stop(100);
    await expect(ask(port)).rejects.toThrow(/ECONNREFUSED/);
    waiting.destroy();
  });

  it('stop when the node stops at once', async () => {
    const outlet = make();
    const stopping = new AbortController();
    await outlet.start(testNode().context, stopping.signal);
    const port = portOf(outlet);
    stopping.abort();
    await vi.waitFor(async () => expect(ask(port)).rejects.toThrow(/ECONNREFUSED/), WITHIN);
    expect(outlet.status().state).toBe('stopped');
  });

  it('are not opened any more when it is stopped while it starts', async () => {
    const outlet = make({ http: undefined, https: ANY_PORT });
    const starting = outlet.start(testNode().context, new AbortController().signal);
    await outlet.stop(100);
    await starting;
    expect(outlet.status().details).not.toHaveProperty('https');
    expect(outlet.status().state).toBe('stopped');
  });

  it('are at least one, with a whole certificate or none', () => {
    const options = { name: 'pollen', perMinute: 1, environment: systemEnvironment(), tls: () => own };
    expect(() => pollenOutlet(options)).toThrow(/neither http nor https/);
    const half = { ...options, https: { ...ANY_PORT, cert: 'cert.pem' } };
    expect(() => pollenOutlet(half)).toThrow(/cert and key, or neither/);
  });
});
