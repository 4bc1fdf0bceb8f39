import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer, get } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemRandomness } from './randomness.js';
import { MAX_VIEWERS, STREAM_TYPE, Viewers } from './viewers.js';
import { Wall } from './wall.js';

/** The real wall, counting. */
class CountingWall extends Wall {
  photographs = 0;
  advancedSeconds = 0;
  longestFrameBytes = 0;

  override advance(seconds: number): void {
    super.advance(seconds);
    this.advancedSeconds = (this.advancedSeconds ?? 0) + seconds;
  }

  override photograph(): Uint8Array {
    const frame = super.photograph();
    this.photographs++;
    this.longestFrameBytes = Math.max(this.longestFrameBytes, frame.length);
    return frame;
  }
}

const PART_HEAD_BYTES = 200;
const wallOf = (widthPx: number, heightPx: number) =>
  new CountingWall({ widthPx, heightPx, lampCount: 5 }, systemRandomness());

let viewers: Viewers;
let server: Server;
let port: number;
/** The server's side of every stream, in the order they came. */
let responses: ServerResponse[];
let clients: Socket[];

async function serve(wall: Wall, periodMs: number, stalledMs: number): Promise<void> {
  viewers = new Viewers(wall, periodMs, stalledMs);
  server = createServer((_request, response) => {
    responses.push(response);
    viewers.add(response.writeHead(200, { 'content-type': STREAM_TYPE, connection: 'close' }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
}

/** A client that asks and then takes nothing. */
async function mute(): Promise<{ client: Socket; response: ServerResponse }> {
  const asked = once(server, 'request');
  const client = connect(port, '127.0.0.1');
  clients.push(client);
  client.on('error', () => undefined);
  client.pause();
  client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [, response] = (await asked) as [IncomingMessage, ServerResponse];
  return { client, response };
}

async function watch(): Promise<IncomingMessage> {
  const request = get({ host: '127.0.0.1', port });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  if (answer.socket !== null) clients.push(answer.socket);
  answer.on('error', () => undefined);
  return answer;
}

beforeEach(() => {
  responses = [];
  clients = [];
});

afterEach(async () => {
  vi.useRealTimers();
  viewers.stop();
  for (const client of clients) client.destroy();
  if (server.listening) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

describe('a viewer that takes nothing', () => {
  it('has one frame waiting at most, holds up nobody, and loses its place in the end', async () => {
    // Large frames, often: the operating system's own buffers are full within seconds.
    const wall = wallOf(1280, 720);
    await serve(wall, 5, 1_500);
    const { response } = await mute();
    const gone = once(response, 'close');
    const good = await watch();
    let longestWaitBytes = 0;
    let stuckFrames = 0;
    let mostStuckFrames = 0;
    let framesBefore = wall.photographs;
    let ended = false;
    void gone.then(() => (ended = true));
    for await (const _chunk of good) {
      longestWaitBytes = Math.max(longestWaitBytes, response.writableLength);
      stuckFrames = response.writableLength > 0 ? stuckFrames + wall.photographs - framesBefore : 0;
      mostStuckFrames = Math.max(mostStuckFrames, stuckFrames);
      framesBefore = wall.photographs;
      if (ended) break;
    }
    expect(longestWaitBytes).toBeGreaterThan(0);
    expect(longestWaitBytes).toBeLessThanOrEqual(wall.longestFrameBytes + PART_HEAD_BYTES);
    expect(mostStuckFrames).toBeGreaterThan(10);
    expect(response.destroyed).toBe(true);
    // The buffers of a large machine on a busy day take a while to fill.
  }, 60_000);
});

describe('viewers', () => {
  it('share each frame: more of them cost no more drawing', async () => {
    const wall = wallOf(160, 90);
    await serve(wall, 20, 30_000);
    const answers = await Promise.all(Array.from({ length: MAX_VIEWERS }, () => watch()));
    expect(viewers.full).toBe(true);
    const before = wall.photographs;
    const parts = await Promise.all(
      answers.map(async (answer) => {
        let seen = 0;
        for await (const chunk of answer) {
          seen +=
            Buffer.from(chunk as Uint8Array)
              .toString('latin1')
              .split('Content-Length').length - 1;
          if (seen >= 10) break;
        }
        return seen;
      }),
    );
    const shown = parts.reduce((sum, seen) => sum + seen, 0);
    expect(shown).toBeGreaterThanOrEqual(10 * MAX_VIEWERS);
    expect(wall.photographs - before).toBeLessThan(shown / 4);
  });

  it('are refused beyond the limit, with nothing written', async () => {
    await serve(wallOf(160, 90), 1_000, 30_000);
    await Promise.all(Array.from({ length: MAX_VIEWERS }, () => watch()));
    const [extra] = responses;
    if (extra === undefined) throw new Error('there are viewers');
    const waitingBytes = extra.writableLength;
    expect(() => viewers.add(extra)).toThrow(RangeError);
    expect(extra.writableLength).toBe(waitingBytes);
  });
});

describe('a wall that nobody watches', () => {
  it('draws nothing, but its lamps go on burning', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const wall = wallOf(160, 90);
    const warmUpSeconds = wall.advancedSeconds;
    viewers = new Viewers(wall, 100, 30_000);
    vi.advanceTimersByTime(60_000);
    expect(wall.photographs).toBe(0);
    expect(wall.advancedSeconds - warmUpSeconds).toBeCloseTo(60, 0);
  });

  it('draws again as long as someone watches, and stops when the last has gone', async () => {
    const wall = wallOf(160, 90);
    await serve(wall, 20, 30_000);
    const answer = await watch();
    await once(answer, 'data');
    const [response] = responses;
    if (response === undefined) throw new Error('there is a viewer');
    const closed = once(response, 'close');
    answer.destroy();
    await closed;
    const drawn = wall.photographs;
    expect(drawn).toBeGreaterThan(0);
    // Ten periods, counted by a timer of the same kind that was started after the last viewer had gone.
    await new Promise<void>((resolve) => {
      let turns = 0;
      const timer = setInterval(() => {
        if (++turns < 10) return;
        clearInterval(timer);
        resolve();
      }, 20);
    });
    expect(wall.photographs).toBe(drawn);
  });

  it('gives single frames, at most one a period', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const wall = wallOf(160, 90);
    viewers = new Viewers(wall, 100, 30_000);
    const first = viewers.latestFrame();
    expect(viewers.latestFrame()).toBe(first);
    vi.advanceTimersByTime(101);
    const second = viewers.latestFrame();
    expect(second).not.toEqual(first);
    expect(wall.photographs).toBe(2);
  });
});

describe('stop', () => {
  it('ends every stream properly, cuts off who takes nothing, and takes nobody new', async () => {
    const wall = wallOf(160, 90);
    await serve(wall, 20, 30_000);
    const answer = await watch();
    const texts: string[] = [];
    answer.on('data', (chunk: Buffer) => texts.push(chunk.toString('latin1')));
    await once(answer, 'data');
    const ended = once(answer, 'end');
    const [response] = responses;
    if (response === undefined) throw new Error('there is a viewer');
    while (response.writableLength > 0) await once(answer, 'data');
    viewers.stop();
    await ended;
    expect(texts.join('')).toMatch(/\r\n--lamplighter-frame--\r\n$/);
    expect(viewers.full).toBe(true);
    const drawn = wall.photographs;
    viewers.stop();
    expect(wall.photographs).toBe(drawn);
  });
});
