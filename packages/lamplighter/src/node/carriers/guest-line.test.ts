import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CarrierDecoder, encodeCarrierFrame } from '../../wire/carrier.js';
import { duplexPair } from '../../wire/duplex-pair.fixture.js';
import { connectOver, serveLine } from './carrier-pair.fixture.js';

/** Answers with what it was sent, until that ends. */
const echo = (connection: Duplex): void => {
  connection.on('error', () => undefined);
  connection.on('data', (chunk: Buffer) => connection.write(chunk));
};

/** Sends a text and waits for it to come back. */
async function echoed(connection: Duplex, text: string): Promise<string> {
  connection.write(text);
  let heard = '';
  while (heard.length < text.length) heard += String(((await once(connection, 'data')) as [Buffer])[0]);
  return heard;
}

/** The next frames that come over a line. */
async function framesFrom(line: Duplex, count: number): Promise<readonly string[]> {
  const decoder = new CarrierDecoder();
  const frames: string[] = [];
  while (frames.length < count) {
    const [chunk] = (await once(line, 'data')) as [Buffer];
    frames.push(...decoder.push(chunk).map(({ type, session }) => `${type} ${session}`));
  }
  return frames;
}

const end = async (connection: Duplex): Promise<void> => {
  connection.end();
  await once(connection, 'close');
};

describe('a guest’s line', () => {
  it('carries connection after connection, whatever their bytes', async () => {
    const { guestEnd, hostEnd, line } = serveLine(echo);
    for (let i = 1; i <= 3; i += 1) {
      const connection = connectOver(opened(guestEnd));
      expect(await echoed(connection, `\u00c0\u00db hello ${i}`)).toBe(`\u00c0\u00db hello ${i}`);
      await end(connection);
      expect(line.sessions).toBe(i);
    }
    expect(line.garbageBytes).toBe(0);
    expect(hostEnd.destroyed).toBe(false);
  });

  it('tells either side when the other has ended, after all that was said', async () => {
    const said = Buffer.alloc(300_000, 'x');
    const { guestEnd } = serveLine((connection) => connection.end(said));
    const connection = connectOver(guestEnd);
    expect((await buffer(connection)).equals(said)).toBe(true);
  });

  it('begins anew when the guest does, in the middle of a frame', async () => {
    const connections: Duplex[] = [];
    const { guestEnd, line } = serveLine((connection) => {
      // The first is not yet used when its guest is gone.
      if (connections.push(connection) > 1) echo(connection);
    });
    guestEnd.write(encodeCarrierFrame('open', 1n));
    expect(await framesFrom(guestEnd, 1)).toEqual(['open 1']);
    const cut = encodeCarrierFrame('data', 1n, Buffer.from('never finished'));
    guestEnd.write(cut.subarray(0, 20));
    guestEnd.write(encodeCarrierFrame('open', 2n));
    guestEnd.write(encodeCarrierFrame('data', 2n, Buffer.from('hello')));
    expect(await framesFrom(guestEnd, 2)).toEqual(['open 2', 'data 2']);
    expect(connections.map(({ destroyed }) => destroyed)).toEqual([true, false]);
    expect(line.sessions).toBe(2);
  });

  it('begins anew for the same session too: a snapshot was restored', async () => {
    const connections: Duplex[] = [];
    const { guestEnd } = serveLine((connection) => connections.push(connection));
    guestEnd.write(encodeCarrierFrame('open', 1n));
    expect(await framesFrom(guestEnd, 1)).toEqual(['open 1']);
    guestEnd.write(encodeCarrierFrame('open', 1n));
    expect(await framesFrom(guestEnd, 1)).toEqual(['open 1']);
    expect(connections.map(({ destroyed }) => destroyed)).toEqual([true, false]);
  });

  it('says that a session is over which it does not know, and not a word to a CLOSE', async () => {
    const { guestEnd } = serveLine(echo);
    guestEnd.write(encodeCarrierFrame('close', 5n));
    guestEnd.write(encodeCarrierFrame('data', 6n, Buffer.from('?')));
    expect(await framesFrom(guestEnd, 1)).toEqual(['close 6']);
  });

  it('tells the guest when a connection was destroyed', async () => {
    const { guestEnd } = serveLine((connection) => connection.destroy());
    const connection = connectOver(guestEnd);
    expect((await buffer(connection)).length).toBe(0);
  });

  it('keeps nothing for a guest that does not read: the line is given up', async () => {
    const connections: Duplex[] = [];
    const { guestEnd, hostEnd, over } = serveLine((connection) => {
      connections.push(connection);
      connection.on('error', () => undefined);
      connection.write(Buffer.alloc(1_000_000));
    });
    guestEnd.write(encodeCarrierFrame('open', 1n));
    while (connections.length === 0) await new Promise(setImmediate);
    expect(hostEnd.writableLength).toBeGreaterThan(0);
    guestEnd.write(encodeCarrierFrame('open', 2n));
    await over;
    expect(hostEnd.destroyed).toBe(true);
    expect(connections[0]?.destroyed).toBe(true);
  });

  it('is not heard faster than its connection reads', async () => {
    const connections: Duplex[] = [];
    const { guestEnd } = serveLine((connection) => connections.push(connection));
    guestEnd.write(encodeCarrierFrame('open', 1n));
    const frame = encodeCarrierFrame('data', 1n, new Uint8Array(4_096));
    let written = 0;
    while (guestEnd.write(frame)) written += 1;
    for (let i = 0; i < 100; i += 1) await new Promise(setImmediate);
    const [connection] = connections;
    expect(connection?.readableLength).toBeLessThan(200_000);
    expect(written).toBeLessThan(100);
    // Whoever takes the connection away frees the line for the next.
    connection?.destroy();
    guestEnd.write(encodeCarrierFrame('open', 2n));
    while (connections.length < 2) await new Promise(setImmediate);
  });

  it('survives any garbage, and serves whoever comes after it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 2_000 }), { maxLength: 6 }), async (chunks) => {
        const { guestEnd, line } = serveLine(echo);
        for (const chunk of chunks) guestEnd.write(chunk);
        const connection = connectOver(guestEnd);
        expect(await echoed(connection, 'hello')).toBe('hello');
        expect(line.sessions).toBe(1);
        connection.destroy();
      }),
      { numRuns: 50 },
    );
  });

  it('hears garbage no faster than its budget', async () => {
    const [guestEnd, hostEnd] = duplexPair();
    const { line } = serveLine(echo, { ends: [guestEnd, hostEnd] });
    const startedMs = performance.now();
    const chunk = Buffer.alloc(16_384, 1);
    const written = (): Promise<void> =>
      new Promise((resolve) => {
        guestEnd.write(chunk, () => resolve());
      });
    for (let i = 0; i < 24; i += 1) await written();
    const tookMs = performance.now() - startedMs;
    // 128 KiB at once, 128 KiB a second after that; some of the rest waits in the line.
    expect(tookMs).toBeGreaterThan(1_000);
    expect(line.garbageBytes).toBeLessThanOrEqual(131_072 * (1 + (tookMs + 200) / 1_000));
  });

  it('lets a guest begin some connections a second, no more', async () => {
    const { guestEnd, line } = serveLine((connection) => connection.on('error', () => undefined));
    guestEnd.resume();
    const startedMs = performance.now();
    for (let session = 1n; session <= 12n; session += 1n) guestEnd.write(encodeCarrierFrame('open', session));
    while (line.sessions < 12) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(performance.now() - startedMs).toBeGreaterThan(400);
  });

  it('ends with its signal, and takes its connection along', async () => {
    const connections: Duplex[] = [];
    const stop = new AbortController();
    const { guestEnd, over } = serveLine((connection) => connections.push(connection), {
      signal: stop.signal,
    });
    guestEnd.write(encodeCarrierFrame('open', 1n));
    await framesFrom(guestEnd, 1);
    stop.abort();
    await over;
    expect(connections.map(({ destroyed }) => destroyed)).toEqual([true]);
    expect(guestEnd.destroyed).toBe(true);
  });
});

/** One opening of a line by a guest; the line outlives it. */
function opened(line: Duplex): Duplex {
  const hear = (chunk: Buffer): void => void opening.push(chunk);
  const opening = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => void line.write(chunk, done),
    destroy(error, done) {
      line.off('data', hear);
      done(error);
    },
  });
  line.on('data', hear);
  return opening;
}
