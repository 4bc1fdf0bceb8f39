import type { Duplex } from 'node:stream';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FixedEnvironment, fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { TRICKLE_GREETING, TRICKLE_HELLO } from '../../wire/trickle.js';
import { duplexPair } from '../../wire/duplex-pair.fixture.js';
import { type TestNode, testNode } from '../context.fixture.js';
import { Seeded } from '../egd/seeded.js';
import { TrickleAllowance } from './allowance.js';
import { TrickleConversation, type TrickleCounts } from './conversation.js';

let environment: FixedEnvironment;
let node: TestNode;
let counts: TrickleCounts;
let seeded: Seeded;
let allowance: TrickleAllowance;
let conversations: TrickleConversation[] = [];

beforeEach(() => {
  environment = fixedEnvironment();
  node = testNode();
  counts = { bytes: 0, hellos: 0, bursts: 0, burstsRefused: 0, protocolErrors: 0, failures: 0 };
  seeded = new Seeded(node.context.ready());
  allowance = new TrickleAllowance(environment);
});

afterEach(async () => {
  for (const conversation of conversations) conversation.close();
  await Promise.all(conversations.map(({ done }) => done));
  conversations = [];
});

/** Lets everything happen that does not wait for time. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 12; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

interface Guest {
  readonly line: Duplex;
  readonly conversation: TrickleConversation;
  /** What has come since the last call. */
  readonly heard: () => Promise<Buffer>;
  readonly hello: () => Promise<Buffer>;
}

function guest(options: { bytesPerMinute?: number; burstBytes?: number } = {}): Guest {
  const [line, host] = duplexPair();
  const { bytesPerMinute = 1_024, burstBytes = 1_024 } = options;
  const services = { environment, seeded, counts, bytesPerMinute, burstBytes };
  const stream = node.context.stream(`guest-${conversations.length}`);
  const conversation = new TrickleConversation(host, stream, allowance, services);
  conversations.push(conversation);
  line.on('error', () => undefined);
  const parts: Buffer[] = [];
  line.on('data', (chunk: Buffer) => parts.push(Buffer.from(chunk)));
  const heard = async (): Promise<Buffer> => {
    await settle();
    return Buffer.concat(parts.splice(0));
  };
  const hello = (): Promise<Buffer> => {
    line.write(TRICKLE_HELLO);
    return heard();
  };
  return { line, conversation, heard, hello };
}

const GREETING = Buffer.from(TRICKLE_GREETING);
const entropyOf = (said: Buffer): Buffer => {
  expect(said.subarray(0, GREETING.length)).toEqual(GREETING);
  return said.subarray(GREETING.length);
};

describe('a trickle', () => {
  beforeEach(() => node.seed());

  it('says nothing before hello; then the greeting and a burst, then so many bytes a minute', async () => {
    const { heard, hello } = guest();
    environment.advance(600_000);
    expect((await heard()).length).toBe(0);
    expect(entropyOf(await hello()).length).toBe(1_024);
    for (let minute = 0; minute < 3; minute += 1) {
      let sum = 0;
      for (let second = 0; second < 60; second += 1) {
        environment.advance(1_000);
        sum += (await heard()).length;
      }
      expect(sum).toBeGreaterThan(900);
      expect(sum).toBeLessThanOrEqual(1_024);
    }
    expect(counts).toMatchObject({ hellos: 1, bursts: 1, burstsRefused: 0, protocolErrors: 0 });
  });

  it('takes a hello in pieces, and one that was cut off by a reboot', async () => {
    const { line, heard, hello } = guest();
    for (const byte of Buffer.from(TRICKLE_HELLO.slice(0, 20))) line.write(Buffer.of(byte));
    expect((await heard()).length).toBe(0);
    expect(entropyOf(await hello()).length).toBe(1_024);
  });

  it('begins anew at another hello on the same line, with other bytes', async () => {
    const { hello } = guest();
    const first = entropyOf(await hello());
    environment.advance(1_000);
    const second = entropyOf(await hello());
    expect(second.length).toBe(1_024);
    expect(second.equals(first)).toBe(false);
  });

  it('gives four bursts to who reboots all the time, and the trickle after that', async () => {
    const { hello } = guest();
    const lengths: number[] = [];
    for (let boot = 0; boot < 8; boot += 1) {
      lengths.push(entropyOf(await hello()).length);
      environment.advance(1_000);
    }
    expect(lengths.slice(0, 4)).toEqual([1_024, 1_024, 1_024, 1_024]);
    expect(Math.max(...lengths.slice(4))).toBeLessThanOrEqual(64);
    expect(counts.burstsRefused).toBe(4);
    environment.advance(60_000);
    await settle();
    expect(entropyOf((await hello()).subarray(64)).length).toBeGreaterThanOrEqual(1_024);
  });

  it('gives who breaks its line and comes back no more than that either', async () => {
    let bytes = 0;
    for (let line = 0; line < 50; line += 1) {
      const each = guest();
      bytes += entropyOf(await each.hello()).length;
      each.line.write('nonsense');
      await each.conversation.done;
      environment.advance(100);
    }
    // Four bursts, and five seconds of the trickle.
    expect(bytes).toBeLessThanOrEqual(4 * 1_024 + 3 * 64);
    expect(counts.protocolErrors).toBe(50);
  });

  it('answers a flood of hellos once a second, and reads no more of it meanwhile', async () => {
    const { line, heard } = guest();
    line.write(TRICKLE_HELLO.repeat(3));
    for (let i = 0; i < 200; i += 1) line.write(TRICKLE_HELLO.repeat(1_000));
    const flooded = await heard();
    expect(flooded.length).toBeLessThan(3 * (GREETING.length + 1_024));
    expect(line.writableLength).toBeGreaterThan(1_000_000);
    environment.advance(1_000);
    expect((await heard()).length).toBeLessThan(2 * (GREETING.length + 1_024));
  });

  it('ends with a named fault at anything else than hello', async () => {
    const { line, conversation } = guest();
    line.write('GET / HTTP/1.1\r\n');
    expect(await conversation.done).toMatchObject({ code: 'ERR_TRICKLE_PROTOCOL' });
    expect(counts).toMatchObject({ protocolErrors: 1, bytes: 0, failures: 0 });
  });

  it('makes nothing ahead for a guest that does not read', async () => {
    const { line, hello } = guest({ bytesPerMinute: 1_048_576, burstBytes: 65_536 });
    await hello();
    line.pause();
    for (let step = 0; step < 500; step += 1) {
      environment.advance(10_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const before = counts.bytes;
    expect(before).toBeLessThan(65_536 + 200_000);
    environment.advance(600_000);
    await settle();
    expect(counts.bytes - before).toBeLessThanOrEqual(64);
    line.resume();
    await settle();
    environment.advance(100);
    await settle();
    expect(counts.bytes).toBeGreaterThan(before);
  });

  it('bursts at a resume, whatever was given before, in front of the trickle', async () => {
    const { hello, heard, conversation } = guest();
    await hello();
    for (let i = 0; i < 6; i += 1) {
      conversation.burst(false);
      expect((await heard()).length).toBe(1_024);
    }
    expect(counts.bursts).toBe(7);
  });

  it('bursts at a guest’s resume although it has not said hello: with the greeting, and the trickle after it', async () => {
    const { heard, conversation } = guest();
    conversation.burst(false);
    expect((await heard()).length).toBe(0);
    conversation.burst(true);
    expect(entropyOf(await heard()).length).toBe(1_024);
    environment.advance(60_000);
    expect((await heard()).length).toBeGreaterThan(0);
  });

  it('a burst that is owed does not wait for a flood of hellos, nor the other way round', async () => {
    const { line, conversation, hello, heard } = guest();
    await hello();
    line.write(TRICKLE_HELLO);
    conversation.burst(false);
    expect((await heard()).length).toBe(1_024);
    environment.advance(1_000);
    expect(entropyOf(await heard()).length).toBe(1_024);
  });

  it('in any minute has its bytes and no more, whatever the guest says and when', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 9_000 })), { minLength: 1, maxLength: 30 }),
        async (steps) => {
          allowance = new TrickleAllowance(environment);
          const { line, heard } = guest();
          let [atMs, bytes] = [0, 0];
          for (const [speaks, pauseMs] of steps) {
            if (speaks) line.write(TRICKLE_HELLO);
            await settle();
            environment.advance(pauseMs);
            atMs += pauseMs;
            // Greetings are no entropy, and at most one a second.
            bytes += (await heard()).toString('latin1').replaceAll(TRICKLE_GREETING, '').length;
            const minutes = atMs / 60_000;
            expect(bytes).toBeLessThanOrEqual((minutes + 1 / 16) * 1_024 + (4 + minutes) * 1_024);
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('a trickle before the node is seeded', () => {
  it('keeps who said hello waiting, and a resume makes nothing of it', async () => {
    const { hello, heard, conversation } = guest();
    expect((await hello()).length).toBe(0);
    conversation.burst(true);
    environment.advance(120_000);
    expect((await heard()).length).toBe(0);
    node.seed();
    expect(entropyOf(await heard()).length).toBeGreaterThanOrEqual(1_024);
    expect(counts.failures).toBe(0);
  });

  it('ends quietly when the guest leaves, or the node stops', async () => {
    const [leaving, staying] = [guest(), guest()];
    await leaving.hello();
    await staying.hello();
    leaving.line.destroy();
    await leaving.conversation.done;
    node.stopUnseeded();
    expect(await staying.conversation.done).toBeUndefined();
    expect(counts).toMatchObject({ failures: 0, bytes: 0 });
  });
});
