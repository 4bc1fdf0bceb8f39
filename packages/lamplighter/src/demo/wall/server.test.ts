import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, get, request } from 'node:http';
import { connect } from 'node:net';
import { decode } from 'jpeg-js';
import { LamplighterError } from '@lamplighter/core';
import { afterEach, describe, expect, it } from 'vitest';
import { type WallServer, type WallServerOptions, startWall } from './server.js';

const SMALL = { port: 0, width: 320, height: 180, lamps: 6 } as const;
const running: WallServer[] = [];

async function start(options: Partial<WallServerOptions> = {}): Promise<WallServer> {
  const wall = await startWall({ ...SMALL, ...options });
  running.push(wall);
  return wall;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((wall) => wall.stop()));
});

async function openStream(wall: WallServer): Promise<IncomingMessage> {
  const [answer] = (await once(get(`${wall.url}/stream.mjpg`, { agent: false }), 'response')) as [
    IncomingMessage,
  ];
  answer.on('error', () => undefined);
  return answer;
}

/** The first parts of a stream, cut by their Content-Length. */
async function parts(answer: AsyncIterable<Buffer>, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  let rest = Buffer.alloc(0);
  for await (const chunk of answer) {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const head = /^--lamplighter-frame\r\nContent-Type: image\/jpeg\r\nContent-Length: (\d+)\r\n\r\n/.exec(
        rest.toString('latin1', 0, 200),
      );
      if (head === null) break;
      const end = head[0].length + Number(head[1]);
      if (rest.length < end + 2) break;
      frames.push(rest.subarray(head[0].length, end));
      expect(rest.toString('latin1', end, end + 2)).toBe('\r\n');
      rest = rest.subarray(end + 2);
      if (frames.length === count) return frames;
    }
  }
  throw new Error('the stream ended early');
}

/** What this process holds open. */
const openSockets = () => process.getActiveResourcesInfo().filter((kind) => /^(TCP|Pipe)/.test(kind)).length;
const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

describe('the stream', () => {
  it('is real video: parts that decode, each different, neither black nor blown out, in many colours', async () => {
    const wall = await start({ width: 640, height: 360, lamps: 16 });
    const frames = await parts(await openStream(wall), 5);
    expect(new Set(frames.map((frame) => frame.toString('base64'))).size).toBe(5);
    const pictures = frames.map((frame) => decode(frame, { useTArray: true }));
    for (const { width, height, data } of pictures) {
      expect([width, height]).toEqual([640, 360]);
      const luma = Float64Array.from({ length: width * height }, (_, pixel) => {
        const at = pixel * 4;
        return 0.299 * (data[at] ?? 0) + 0.587 * (data[at + 1] ?? 0) + 0.114 * (data[at + 2] ?? 0);
      });
      const mean = luma.reduce((sum, one) => sum + one, 0) / luma.length;
      expect(mean).toBeGreaterThan(25);
      expect(mean).toBeLessThan(130);
      expect(luma.filter((one) => one > 180).length).toBeGreaterThan(300);
      expect(luma.filter((one) => one > 250).length / luma.length).toBeLessThan(0.01);
      expect(luma.filter((one) => one < 5).length / luma.length).toBeLessThan(0.1);
      // At least 1 % of the picture is decidedly red, green, and blue.
      for (const channel of [0, 1, 2]) {
        const strong = luma.filter((_, pixel) => {
          const others = [0, 1, 2].filter((other) => other !== channel);
          return others.every(
            (other) => (data[pixel * 4 + channel] ?? 0) > 1.3 * (data[pixel * 4 + other] ?? 0) + 15,
          );
        });
        expect(strong.length / luma.length).toBeGreaterThan(0.01);
      }
    }
    const [first, last] = [pictures[0]?.data, pictures[4]?.data];
    const moved = first?.filter((byte, index) => Math.abs(byte - (last?.[index] ?? 0)) > 40).length ?? 0;
    expect(moved).toBeGreaterThan(100);
  });

  it('comes at about the rate asked for', async () => {
    const wall = await start({ framesPerSecond: 20 });
    const stream = await openStream(wall);
    const began = performance.now();
    await parts(stream, 11);
    // The first comes at once and ten follow 50 ms apart; a slow machine may take longer, none may be faster.
    expect(performance.now() - began).toBeGreaterThan(400);
  });

  it('says it is simulated, and is framed by its parts alone', async () => {
    const answer = await openStream(await start());
    expect(answer.headers['content-type']).toBe('multipart/x-mixed-replace; boundary=lamplighter-frame');
    expect(answer.headers['lamplighter-basis']).toBe('simulated');
    expect(answer.headers['transfer-encoding']).toBeUndefined();
    answer.destroy();
  });

  it('takes 16 viewers, tells the 17th to come back, and lets it in when one has gone', async () => {
    const wall = await start();
    const streams = await Promise.all(Array.from({ length: 16 }, () => openStream(wall)));
    expect(streams.map((stream) => stream.statusCode)).toEqual(Array.from({ length: 16 }).fill(200));
    const refused = await fetch(`${wall.url}/stream.mjpg`);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).not.toBeNull();
    expect(refused.headers.get('lamplighter-basis')).toBe('simulated');
    expect(await refused.json()).toMatchObject({ code: 'ERR_TOO_MANY_CONNECTIONS' });
    // The page and single frames are still there for everyone.
    expect((await fetch(`${wall.url}/frame.jpg`)).status).toBe(200);
    streams[0]?.destroy();
    let status: number | undefined = 503;
    while (status === 503) {
      const stream = await openStream(wall);
      status = stream.statusCode;
      stream.destroy();
    }
    expect(status).toBe(200);
  });
});

describe('a single frame', () => {
  it('is a JPEG that says it is simulated, and the next one differs', async () => {
    const wall = await start({ framesPerSecond: 30 });
    const frames: Buffer[] = [];
    while (new Set(frames.map((frame) => frame.toString('base64'))).size < 2) {
      const answer = await fetch(`${wall.url}/frame.jpg`);
      expect(answer.headers.get('content-type')).toBe('image/jpeg');
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(answer.headers.get('lamplighter-basis')).toBe('simulated');
      frames.push(Buffer.from(await answer.arrayBuffer()));
    }
    const decoded = decode(frames[0] ?? Buffer.alloc(0), { useTArray: true });
    expect([decoded.width, decoded.height]).toEqual([320, 180]);
    expect(decoded.comments?.join()).toContain('simulated');
  });
});

describe('the page', () => {
  it('shows the stream, says what it is, and asks nobody else for anything', async () => {
    const wall = await start();
    const answer = await fetch(`${wall.url}/`);
    const page = await answer.text();
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(answer.headers.get('lamplighter-basis')).toBe('simulated');
    expect(page).toContain('<title>Lamplighter: virtual wall (simulated)</title>');
    expect(page).toContain('<img src="/stream.mjpg"');
    expect(page).toContain('prefers-color-scheme: dark');
    expect(page).not.toMatch(/https?:|\/\/|@import|url\(|<script|\son\w+=/i);
  });

  it('has a policy that allows its own picture and exactly its own style', async () => {
    const wall = await start();
    const answer = await fetch(`${wall.url}/`);
    const style = /<style>([^]*)<\/style>/.exec(await answer.text())?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    expect(answer.headers.get('content-security-policy')?.split('; ')).toEqual([
      "default-src 'none'",
      "img-src 'self'",
      `style-src 'sha256-${hash}'`,
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ]);
  });
});

describe('requests that are refused', () => {
  async function ask(wall: WallServer, host: string | undefined, path = '/', method = 'GET') {
    const headers = host === undefined ? {} : { host };
    const sent = request({
      host: '127.0.0.1',
      port: wall.port,
      path,
      method,
      headers,
      setHost: false,
      agent: false,
    });
    sent.end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks).toString() };
  }

  it('answers to loopback names only', async () => {
    const wall = await start();
    for (const host of [
      'localhost',
      `LOCALHOST:${wall.port}`,
      '127.0.0.1',
      `127.0.0.1:${wall.port}`,
      '[::1]:80',
    ]) {
      expect((await ask(wall, host)).status).toBe(200);
    }
    const foreign = [
      'evil.example',
      `evil.example:${wall.port}`,
      '127.0.0.1.evil.example',
      'localhost.',
      '',
      '192.0.2.1',
    ];
    for (const host of [...foreign, undefined]) {
      for (const path of ['/', '/stream.mjpg', '/frame.jpg']) {
        const { status, body, headers } = await ask(wall, host, path);
        expect(status).toBe(400);
        expect(JSON.parse(body)).toMatchObject({ code: 'ERR_BAD_REQUEST' });
        expect(headers['lamplighter-basis']).toBe('simulated');
      }
    }
  });

  it('on all addresses, answers to any address but to no foreign name', async () => {
    const wall = await start({ host: '0.0.0.0' });
    expect((await ask(wall, '192.0.2.1:80')).status).toBe(200);
    expect((await ask(wall, 'evil.example')).status).toBe(400);
  });

  it('only reads', async () => {
    const wall = await start();
    const { status, headers, body } = await ask(wall, 'localhost', '/', 'POST');
    expect(status).toBe(405);
    expect(headers.allow).toBe('GET, HEAD');
    expect(JSON.parse(body)).toMatchObject({ code: 'ERR_METHOD' });
    for (const path of ['/', '/stream.mjpg', '/frame.jpg']) {
      const head = await ask(wall, 'localhost', path, 'HEAD');
      expect([head.status, head.body]).toEqual([200, '']);
    }
  });

  it('knows three paths', async () => {
    const { status, body } = await ask(await start(), 'localhost', '/../etc/passwd');
    expect(status).toBe(404);
    expect(JSON.parse(body)).toMatchObject({ code: 'ERR_NOT_FOUND' });
  });

  it('tells even what is no HTTP what it rests on', async () => {
    const wall = await start();
    const client = connect(wall.port, '127.0.0.1');
    client.end('\u0000\u0001 nonsense\r\n\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of client) chunks.push(chunk as Buffer);
    const answer = Buffer.concat(chunks).toString();
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(answer).toMatch(/\r\nlamplighter-basis: simulated\r\n/);
    expect(answer).toContain('ERR_BAD_REQUEST');
  });
});

describe('starting', () => {
  it('says that the port is in use, and what to do', async () => {
    const first = await start();
    const socketsBefore = openSockets();
    const error: unknown = await startWall({ ...SMALL, port: first.port }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LamplighterError);
    expect(error).toMatchObject({
      code: 'ERR_PORT_IN_USE',
    });
    expect((error as LamplighterError).message).toContain(String(first.port));
    expect((error as LamplighterError).hint).toMatch(/another port/);
    await expect.poll(openSockets).toBeLessThanOrEqual(socketsBefore);
  });

  it('says that an address is not this machine’s', async () => {
    await expect(startWall({ ...SMALL, host: '192.0.2.1' })).rejects.toMatchObject({ code: 'ERR_LISTEN' });
  });

  it('refuses senseless sizes before it listens', async () => {
    await expect(startWall({ port: 0, width: 0 })).rejects.toThrow(RangeError);
    await expect(startWall({ port: 0, lamps: 99 })).rejects.toThrow(RangeError);
    await expect(startWall({ port: 0, framesPerSecond: Number.NaN })).rejects.toThrow(RangeError);
  });

  it('listens on loopback by default, and on IPv6 loopback with a proper address', async () => {
    expect((await start()).url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const six = await start({ host: '::1' });
    expect(six.url).toBe(`http://[::1]:${six.port}`);
    expect((await fetch(`${six.url}/`)).status).toBe(200);
  });
});

describe('stopping', () => {
  it('takes less than a second, with viewers that read and viewers that do not, and leaves nothing open', async () => {
    const socketsBefore = openSockets();
    const timersBefore = timers();
    const wall = await startWall({ ...SMALL, framesPerSecond: 30 });
    const reader = await openStream(wall);
    await once(reader, 'data');
    const mute = connect(wall.port, '127.0.0.1');
    mute.pause();
    mute.write('GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const idle = connect(wall.port, '127.0.0.1');
    await once(idle, 'connect');
    // A connection that is cut may end by a reset; that it ends is what counts.
    const gone = [reader, mute, idle].map((end) => {
      end.on('error', () => undefined);
      return new Promise((resolve) => end.once('close', resolve));
    });
    const began = performance.now();
    const stopping = wall.stop();
    expect(wall.stop()).toBe(stopping);
    await stopping;
    expect(performance.now() - began).toBeLessThan(1000);
    for (const end of [reader, mute, idle]) end.resume();
    await Promise.all(gone);
    await expect(fetch(`${wall.url}/`)).rejects.toThrow();
    await expect.poll(openSockets).toBeLessThanOrEqual(socketsBefore);
    expect(timers()).toBeLessThanOrEqual(timersBefore);
  });
});
