import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import { afterEach, describe, expect, it } from 'vitest';
import { fetchBeacon } from './beacon.js';
import { UpstreamAgent } from './client.js';
import type { Listener } from './listener.js';
import { OutgoingConnections } from './outgoing.js';
import { Answers, deferred, openTls } from './raw-peer.fixture.js';
import { authority, get, machine, serve } from './served-listener.fixture.js';

/** A wire with a meter on it: every byte that passes in each direction is counted. */
class Tap {
  readonly server: net.Server;
  fromServer = 0;
  fromClient = 0;
  readonly #sockets: net.Socket[] = [];

  constructor(port: number) {
    this.server = net.createServer((client) => {
      const upstream = net.connect(port, '127.0.0.1');
      this.#sockets.push(client, upstream);
      client.on('data', (bytes) => (this.fromClient += bytes.length));
      upstream.on('data', (bytes) => (this.fromServer += bytes.length));
      client.pipe(upstream).on('error', () => client.destroy());
      upstream.pipe(client).on('error', () => upstream.destroy());
    });
  }

  async listen(): Promise<number> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
  }
}

const taps: Tap[] = [];
afterEach(() => {
  for (const tap of taps.splice(0)) tap.close();
});

async function tapped(port: number): Promise<{ tap: Tap; port: number }> {
  const tap = new Tap(port);
  taps.push(tap);
  return { tap, port: await tap.listen() };
}

/** An endless answer that has something to say whenever it is asked. */
async function endless(listener: Listener, port: number) {
  const speak = deferred<() => Promise<void>>();
  listener.route({
    method: 'GET',
    path: '/endless',
    roles: ['machine'],
    maxBodyBytes: 0,
    handle: async (exchange) => {
      const stream = exchange.stream({});
      speak.resolve(() => stream.write(Buffer.alloc(500_000, 1)));
      await once(exchange.signal, 'abort');
    },
  });
  const { cert, key } = machine;
  const peer = new Answers(
    await openTls({ port, ca: authority.pem, cert, key, ALPNProtocols: ['http/1.1'] }),
  );
  peer.socket.write(get('/endless'));
  await peer.until('\r\n\r\n');
  return { peer, speak: await speak.promise };
}

describe('cut', () => {
  it('lets a listener write nothing more, not even what it had begun', async () => {
    const { listener, port: realPort } = await serve();
    const { tap, port } = await tapped(realPort);
    const { peer, speak } = await endless(listener, port);
    const before = tap.fromServer;
    const spoken = speak();
    expect(listener.cut()).toBe(1);
    await expect(spoken).rejects.toMatchObject({ code: 'ERR_STOPPED' });
    await peer.closed;
    // What the first write had given to the kernel in the same turn may have left; a farewell would come after it.
    expect(peer.text).not.toContain('0\r\n\r\n');
    expect(tap.fromServer - before).toBeLessThan(500_000);
    await expect.poll(() => listener.connections).toBe(0);
  });

  it('says no farewell, where stop does', async () => {
    const farewell = async (end: (listener: Listener) => void): Promise<number> => {
      const { listener, port: realPort } = await serve();
      const { tap, port } = await tapped(realPort);
      const { peer } = await endless(listener, port);
      const before = tap.fromServer;
      end(listener);
      await peer.closed;
      return tap.fromServer - before;
    };
    expect(await farewell((listener) => listener.cut())).toBe(0);
    expect(await farewell((listener) => void listener.stop(1_000))).toBeGreaterThan(0);
  });

  it('ends handshakes under way, and the listener goes on', async () => {
    const { listener, port } = await serve();
    const silent = net.connect(port, '127.0.0.1').on('error', () => undefined);
    await once(silent, 'connect');
    await expect.poll(() => listener.cut()).toBe(1);
    await expect.poll(() => silent.closed).toBe(true);
    const { cert, key } = machine;
    const peer = new Answers(await openTls({ port, ca: authority.pem, cert, key }));
    expect((await peer.ask(get('/hello'))).status).toBe(200);
  });

  it('asks to look before every request, and a request that is cut is not answered', async () => {
    let looks = 0;
    const cutting: { listener?: Listener } = {};
    const { listener, port: realPort } = await serve({
      before: () => {
        looks += 1;
        if (looks === 3) cutting.listener?.cut();
      },
    });
    cutting.listener = listener;
    const { tap, port } = await tapped(realPort);
    const { cert, key } = machine;
    const peer = new Answers(await openTls({ port, ca: authority.pem, cert, key }));
    await peer.ask(get('/hello'));
    await peer.ask(get('/nothing-here'));
    const before = tap.fromServer;
    peer.socket.write(get('/hello'));
    await peer.closed;
    expect(looks).toBe(3);
    expect(tap.fromServer).toBe(before);
  });
});

describe('outgoing connections', () => {
  it('are cut without another byte, while one is asked and while one is made', async () => {
    const { listener, port: realPort } = await serve();
    const asked = deferred<void>();
    listener.route({
      method: 'POST',
      path: '/v1/beacon',
      roles: ['machine'],
      maxBodyBytes: 64,
      handle: async (exchange) => {
        asked.resolve();
        await once(exchange.signal, 'abort');
      },
    });
    const { tap, port } = await tapped(realPort);
    let looks = 0;
    const outgoing = new OutgoingConnections(
      { connect: ({ ...endpoint }) => net.connect(endpoint) },
      () => (looks += 1),
    );
    const upstream = {
      url: new URL(`https://127.0.0.1:${port}`),
      tls: machine,
      roles: ['relay' as const],
      name: 'relay-1',
      connect: (endpoint: { host: string; port: number } | { path: string }) => outgoing.connect(endpoint),
    };
    const agent = new UpstreamAgent(upstream);
    const fetched = fetchBeacon(upstream, { nonce: new Uint8Array(32), deadlineMs: 5_000, agent }).catch(
      (error: unknown) => error,
    );
    await asked.promise;
    const before = tap.fromClient;
    const making = outgoing.connect({ host: '127.0.0.1', port }).on('error', () => undefined);
    expect(outgoing.size).toBe(2);
    expect(outgoing.cut()).toBe(2);
    expect(await fetched).toBeInstanceOf(LamplighterError);
    await expect.poll(() => outgoing.size).toBe(0);
    expect(making.destroyed).toBe(true);
    expect(tap.fromClient).toBe(before);
    expect(looks).toBe(2);
    agent.destroy();
  });
});
