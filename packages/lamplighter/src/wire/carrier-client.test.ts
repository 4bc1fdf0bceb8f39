import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { CarrierDecoder, type CarrierFrame, encodeCarrierFrame } from './carrier.js';
import { connectCarrier } from './carrier-client.js';
import { duplexPair } from './duplex-pair.fixture.js';

/** The system's, with the time of every wait noted and none of it spent. */
function hurried() {
  const environment = systemEnvironment();
  let waitedMs = 0;
  return {
    environment: {
      ...environment,
      monotonicNs: () => environment.monotonicNs() + BigInt(waitedMs) * 1_000_000n,
      timers: {
        ...environment.timers,
        sleep: async (delayMs: number, signal?: AbortSignal) => {
          waitedMs += delayMs;
          await environment.timers.turn();
          signal?.throwIfAborted();
        },
      },
    },
    waitedMs: () => waitedMs,
  };
}

/** Connects over lines that are handed out one after the other; what is not a line is thrown, or is "in use". */
function connect(lines: readonly (Duplex | Error | undefined)[], { environment } = hurried()): Duplex {
  const left = [...lines];
  return connectCarrier({
    where: '/dev/line',
    environment,
    open: () => {
      const line = left.shift();
      return line instanceof Error ? Promise.reject(line) : Promise.resolve(line);
    },
  });
}

/** The host's end, by hand. */
class Host {
  readonly frames: CarrierFrame[] = [];
  readonly #line: Duplex;

  constructor(line: Duplex) {
    const decoder = new CarrierDecoder();
    this.#line = line;
    line.on('data', (chunk: Buffer) => this.frames.push(...decoder.push(chunk)));
  }

  get heard(): readonly string[] {
    return this.frames.map(({ type, payload }) => `${type} ${Buffer.from(payload).toString()}`.trim());
  }

  async until(count: number): Promise<void> {
    while (this.frames.length < count) await new Promise(setImmediate);
  }

  say(type: CarrierFrame['type'], text = '', session = this.frames.at(-1)?.session ?? 0n): void {
    this.#line.write(encodeCarrierFrame(type, session, Buffer.from(text)));
  }
}

function line(): { guest: Duplex; host: Host; hostEnd: Duplex } {
  const [guest, hostEnd] = duplexPair();
  return { guest, hostEnd, host: new Host(hostEnd) };
}

const failure = async (connection: Duplex): Promise<unknown> =>
  (
    (await once(connection, 'close').then(
      () => [connection.errored],
      (error: unknown) => [error],
    )) as unknown[]
  )[0];

describe('a guest’s connection over a line', () => {
  it('says nothing before the host has answered', async () => {
    const { guest, host } = line();
    const connection = connect([guest]);
    connection.write('secret');
    await host.until(1);
    for (let i = 0; i < 20; i += 1) await new Promise(setImmediate);
    expect(host.heard).toEqual(['open']);
    host.say('open');
    await host.until(2);
    expect(host.heard).toEqual(['open', 'data secret']);
  });

  it('hears nothing of earlier sessions, nor before the answer, nor garbage', async () => {
    const { guest, host, hostEnd } = line();
    const connection = connect([guest]);
    await host.until(1);
    const session = host.frames[0]?.session ?? 0n;
    hostEnd.write(Buffer.from('no frame at all'));
    host.say('open', '', session + 1n);
    host.say('data', 'too early', session);
    host.say('close', '', session);
    host.say('open', '', session);
    host.say('data', 'of another', session + 1n);
    host.say('close', '', session + 1n);
    host.say('open', '', session);
    host.say('data', 'hello', session);
    const [heard] = (await once(connection, 'data')) as [Buffer];
    expect(String(heard)).toBe('hello');
  });

  it('ends with a CLOSE, once, and gives the line back when that is sent', async () => {
    const { guest, host } = line();
    const connection = connect([guest]);
    connection.end('last');
    await host.until(1);
    host.say('open');
    connection.resume();
    await once(connection, 'close');
    expect(host.heard).toEqual(['open', 'data last', 'close']);
    expect(guest.destroyed).toBe(true);
  });

  it('says nothing to the host’s CLOSE', async () => {
    const { guest, host } = line();
    const connection = connect([guest]);
    await host.until(1);
    host.say('open');
    host.say('data', 'bye');
    host.say('close');
    connection.resume();
    await once(connection, 'close');
    expect(host.heard).toEqual(['open']);
  });

  it('sends not one more byte once it is destroyed', async () => {
    const { guest, host } = line();
    const connection = connect([guest]);
    await host.until(1);
    host.say('open');
    await once(connection.resume(), 'resume');
    while (connection.writableLength > 0 || host.frames.length < 1) await new Promise(setImmediate);
    connection.destroy();
    connection.write('a record');
    connection.on('error', () => undefined);
    await once(connection, 'close');
    expect(host.heard).toEqual(['open']);
    expect(guest.destroyed).toBe(true);
  });

  it('never has a session twice', async () => {
    const sessions = new Set<bigint>();
    for (let i = 0; i < 50; i += 1) {
      const { guest, host } = line();
      const connection = connect([guest]);
      await host.until(1);
      sessions.add(host.frames[0]?.session ?? 0n);
      connection.destroy();
    }
    expect(sessions.size).toBe(50);
  });

  it('waits while somebody else has the line, for as long as it takes', async () => {
    const time = hurried();
    const { guest, host } = line();
    const connection = connect([...Array<undefined>(100).fill(undefined), guest], time);
    await host.until(1);
    expect(time.waitedMs()).toBeGreaterThanOrEqual(10_000);
    connection.destroy();
  });

  it('asks again when the host goes away before its answer', async () => {
    const first = line();
    const second = line();
    const connection = connect([first.guest, second.guest]);
    connection.write('hello');
    await first.host.until(1);
    first.hostEnd.end();
    await second.host.until(1);
    second.host.say('open');
    await second.host.until(2);
    expect(second.host.heard).toEqual(['open', 'data hello']);
    expect(first.host.heard).toEqual(['open']);
    connection.destroy();
  });

  it('gives up after two seconds without a host, and says where', async () => {
    const time = hurried();
    const lines = Array.from({ length: 100 }, () => {
      const { guest, hostEnd } = line();
      hostEnd.end();
      return guest;
    });
    expect(await failure(connect(lines, time))).toMatchObject({
      code: 'ERR_UPSTREAM_UNREACHABLE',
      message: "nobody is at the host's end of /dev/line",
    });
    expect(time.waitedMs()).toBeGreaterThanOrEqual(2_000);
    expect(time.waitedMs()).toBeLessThan(3_000);
  });

  it('is over when the host lets go of the line after its answer', async () => {
    const { guest, host, hostEnd } = line();
    const connection = connect([guest]);
    await host.until(1);
    host.say('open');
    connection.write('hello');
    await host.until(2);
    hostEnd.end();
    expect(await failure(connection)).toMatchObject({
      message: 'the host let go of its end of /dev/line',
    });
  });

  it('fails with what opening the line failed with', async () => {
    const fault = new Error('no such device');
    expect(await failure(connect([fault]))).toBe(fault);
  });

  it('lets go of a line that is opened too late', async () => {
    const { guest } = line();
    let opened: (line: Duplex) => void = () => undefined;
    const { environment } = hurried();
    const open = () =>
      new Promise<Duplex>((resolve) => {
        opened = resolve;
      });
    const connection = connectCarrier({ where: '/dev/line', environment, open });
    connection.destroy();
    opened(guest);
    if (!guest.closed) await once(guest, 'close');
    expect(guest.destroyed).toBe(true);
  });

  it('takes from a host what is its own, whatever else comes in between', async () => {
    const odd = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .tuple(fc.constantFrom('open', 'close'), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
        .map(([type, session]) => encodeCarrierFrame(type, session)),
      fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => encodeCarrierFrame('data', 0n, bytes)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(odd, { maxLength: 10 }),
        fc.array(odd, { maxLength: 10 }),
        async (before, after) => {
          const { guest, host, hostEnd } = line();
          const connection = connect([guest]);
          await host.until(1);
          const session = host.frames[0]?.session ?? 0n;
          for (const bytes of before) hostEnd.write(bytes);
          host.say('open', '', session);
          for (const bytes of after) hostEnd.write(bytes);
          host.say('data', 'hello', session);
          const [heard] = (await once(connection, 'data')) as [Buffer];
          expect(String(heard)).toBe('hello');
          connection.destroy();
        },
      ),
    );
  });
});
