import { createHash } from 'node:crypto';
import net from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { needs } from '../../packages/lamplighter/src/needs.fixture.js';
import { Place } from '../place.fixture.js';
import { endAll, freePorts, untilStatus } from '../processes.fixture.js';
import { ALIKE, UNLIKE } from './odd-requests.fixture.js';
import { type PollenProcess, startNode, startPollen } from './pollen-process.fixture.js';
import { sendRaw } from './raw-request.fixture.js';

/* Debian's pollen and ours, asked the same. */

needs(
  'pollen',
  'unshare',
  'mount',
)('beside Debian’s pollen', () => {
  let place: Place;
  let pollen: PollenProcess;
  let ours: number;

  beforeAll(async () => {
    place = await Place.make();
    pollen = await startPollen(place.tls('relay'));
    const ports = await freePorts('http', 'admin');
    ours = ports.http;
    const file = place.writeNode({
      name: 'relay',
      admin: ports.admin,
      sources: [{ kind: 'os' }],
      outlets: [{ kind: 'pollen', http: { host: '127.0.0.1', port: ours }, perMinute: 100_000 }],
    });
    startNode(file);
    await untilStatus(ports.admin, 'the node is ready', ({ state }) => state === 'ready');
  });

  afterAll(async () => {
    await pollen.stop();
    await endAll();
    place.remove();
  });

  it.each(Object.entries(ALIKE))('%s is answered alike', async (_, request) => {
    const [theirs, reply] = await Promise.all([sendRaw(pollen.http, request), sendRaw(ours, request)]);
    expect(reply?.status).toBe(theirs?.status);
    if (theirs?.status !== 200) {
      expect(reply?.body).not.toMatch(/[0-9a-f]{128}/);
      return;
    }
    expect(reply?.type).toBe(theirs.type);
    expect(reply?.lengthBytes).toBe(theirs.lengthBytes);
    expect(reply?.body).toHaveLength(theirs.body.length);
    // The first line is the challenge's as the other server understood it.
    expect(reply?.body.slice(0, 129)).toBe(theirs.body.slice(0, 129));
    if (theirs.body === '') return;
    expect(reply?.body).toMatch(/^[0-9a-f]{128}\n[0-9a-f]{128}\n$/);
    expect(reply?.body.slice(129)).not.toBe(theirs.body.slice(129));
  });

  it.each(Object.entries(UNLIKE))('%s', async (_, { request, ...statuses }) => {
    const [theirs, reply] = await Promise.all([sendRaw(pollen.http, request), sendRaw(ours, request)]);
    expect({ pollen: theirs?.status ?? 0, ours: reply?.status ?? 0 }).toEqual(statuses);
  });

  it('keeps a connection for one request after another, as pollen does', async () => {
    const request = (challenge: string): string => `GET /?challenge=${challenge} HTTP/1.1\r\nHost: x\r\n\r\n`;
    for (const port of [pollen.http, ours]) {
      const both = `${request('a')}${request('b').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')}`;
      const text = await readAll(port, both);
      const lines = text.match(/^[0-9a-f]{128}$/gm) ?? [];
      expect(lines).toHaveLength(4);
      expect([lines[0], lines[2]]).toEqual(['a', 'b'].map((challenge) => sha512(challenge)));
    }
  });
});

const sha512 = (text: string): string => createHash('sha512').update(text).digest('hex');

async function readAll(port: number, request: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  socket.write(request);
  let text = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString('latin1');
  return text;
}
