import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net, { type Server, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { needs } from '../needs.fixture.js';
import { TRICKLE_GREETING, TRICKLE_HELLO } from '../wire/trickle.js';
import { WITHIN } from '../within.fixture.js';
import { describeSourceCompliance } from './source.compliance.js';
import type { Source } from './source.js';
import { type TrickleSourceOptions, trickleSource } from './trickle.js';

const environment = systemEnvironment();

/** A host's side of one line: what the guest says, and a way to answer. */
class Host {
  readonly server: Server;
  readonly lines: Socket[] = [];
  readonly said: string[] = [];

  constructor(socketPath: string, answer: (line: Socket) => void) {
    this.server = net.createServer((line) => {
      const number = this.lines.push(line) - 1;
      this.said[number] = '';
      line.on('error', () => undefined);
      line.on('data', (chunk) => {
        this.said[number] += String(chunk);
        if (this.said[number] === TRICKLE_HELLO) answer(line);
      });
    });
    this.server.listen(socketPath);
  }

  async close(): Promise<void> {
    for (const line of this.lines) line.destroy();
    const closed = once(this.server, 'close');
    this.server.close();
    await closed;
  }
}

/** Greets and goes on with fresh bytes. */
function generous(line: Socket): void {
  line.write(Buffer.concat([Buffer.from(TRICKLE_GREETING), randomBytes(64)]));
  const timer = setInterval(() => line.write(randomBytes(16)), 20);
  line.on('close', () => clearInterval(timer));
}

describeSourceCompliance('trickle', async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'trickle-'));
  const device = path.join(folder, 'line');
  const host = new Host(device, generous);
  await once(host.server, 'listening');
  return {
    source: trickleSource({ device }, environment),
    cleanUp: async () => {
      await host.close();
      await fs.rm(folder, { recursive: true });
    },
  };
});

describe('a trickle source', () => {
  let folder: string;
  let device: string;
  let heard: Buffer[];
  let sources: Source[] = [];
  let hosts: Host[] = [];

  beforeEach(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'trickle-'));
    device = path.join(folder, 'line');
    heard = [];
  });

  afterEach(async () => {
    for (const source of sources) await source.stop();
    for (const host of hosts) await host.close();
    [sources, hosts] = [[], []];
    await fs.rm(folder, { recursive: true });
  });

  async function host(answer: (line: Socket) => void): Promise<Host> {
    const listening = new Host(device, answer);
    hosts.push(listening);
    await once(listening.server, 'listening');
    return listening;
  }

  async function started(options: TrickleSourceOptions = {}): Promise<Source> {
    const source = trickleSource({ device, ...options }, environment);
    sources.push(source);
    await source.start({ hear: (bytes) => heard.push(Buffer.from(bytes)) }, new AbortController().signal);
    return source;
  }

  const reason = (source: Source) => source.status().reason?.code;

  it('says hello, to the byte, and hears what is behind the greeting and nothing in front', async () => {
    const entropy = randomBytes(100);
    const { said } = await host((line) => {
      line.write(
        Buffer.concat([Buffer.from('left from an earlier boot'), Buffer.from(TRICKLE_GREETING), entropy]),
      );
    });
    const source = await started();
    await vi.waitFor(() => expect(Buffer.concat(heard)).toEqual(entropy), WITHIN);
    expect(said).toEqual([TRICKLE_HELLO]);
    expect(source.status()).toMatchObject({
      state: 'ok',
      basis: { physical: false },
      details: { form: 'unix socket', hellos: 1, greetings: 1, heardBytes: 100 },
    });
  });

  it('hears it in pieces of one byte', async () => {
    const entropy = randomBytes(8);
    await host((line) => {
      const bytes = [...Buffer.from(TRICKLE_GREETING), ...entropy];
      const timer = setInterval(() => {
        const byte = bytes.shift();
        if (byte === undefined) clearInterval(timer);
        else line.write(Buffer.of(byte));
      }, 1);
    });
    await started();
    await vi.waitFor(() => expect(Buffer.concat(heard)).toEqual(entropy), WITHIN);
  });

  it('says hello again when the host went away, and when the line is silent', async () => {
    const { said, lines } = await host((line) => line.write(`${TRICKLE_GREETING}abc`));
    const source = await started({ silenceMs: 300 });
    await vi.waitFor(() => expect(said.length).toBeGreaterThanOrEqual(2), WITHIN);
    expect(Buffer.concat(heard).toString()).toMatch(/^(abc)+$/);
    lines.at(-1)?.destroy();
    const before = said.length;
    // A line is there before anything is said on it.
    await vi.waitFor(() => expect(said[before]).toBe(TRICKLE_HELLO), WITHIN);
    expect(said.slice(0, before + 1).every((hello) => hello === TRICKLE_HELLO)).toBe(true);
    expect(Number(source.status().details['hellos'])).toBeGreaterThanOrEqual(3);
  });

  it('is failed, with the reason, when the host never greets', async () => {
    await host(() => undefined);
    const source = await started({ greetingMs: 100 });
    await vi.waitFor(() => expect(reason(source)).toBe('ERR_PROCESS_SILENT'), WITHIN);
    expect([source.status().state, heard]).toEqual(['failed', []]);
  });

  it('takes what a host floods it with at its own pace, and holds none of it', async () => {
    let sent = 0;
    await host((line) => {
      line.write(TRICKLE_GREETING);
      const more = (): void => {
        while (!line.destroyed && line.write(Buffer.alloc(65_536, 7))) sent += 65_536;
      };
      line.on('drain', more);
      more();
    });
    await started();
    await vi.waitFor(() => expect(Buffer.concat(heard).length).toBeGreaterThan(100_000), WITHIN);
    // What is neither heard nor in the kernel's buffers has not left the host.
    expect(sent - Buffer.concat(heard).length).toBeLessThan(2_000_000);
  });

  it('is absent where there is no such port, and found when it appears', async () => {
    const source = await started();
    await vi.waitFor(() => expect(source.status()).toMatchObject({ state: 'absent' }), WITHIN);
    expect(reason(source)).toBe('ERR_SOURCE_ABSENT');
    await host(generous);
    await vi.waitFor(() => expect(source.status().state).toBe('ok'), WITHIN);
  });

  it('refuses what is no line, and numbers out of range', async () => {
    await fs.writeFile(device, 'a file');
    const source = await started();
    await vi.waitFor(() => expect(reason(source)).toBe('ERR_DEVICE'), WITHIN);
    expect(() => trickleSource({ silenceMs: 0 }, environment)).toThrow(RangeError);
  });

  needs(
    'sh',
    'cat',
    'setpriv',
  )('on a character device', () => {
    it('is failed when there is nobody at the other end', async () => {
      const source = await started({ device: '/dev/null' });
      await vi.waitFor(() => expect(source.status().state).toBe('failed'), WITHIN);
      expect(source.status()).toMatchObject({
        reason: { code: 'ERR_PROCESS_GONE', message: '/dev/null: the host has closed the line' },
        details: { form: 'character device' },
      });
    });

    it('gives up a host that says much and never greets', async () => {
      const source = await started({ device: '/dev/zero' });
      await vi.waitFor(() => expect(reason(source)).toBe('ERR_TRICKLE_PROTOCOL'), { timeout: 40_000 });
      expect(heard).toEqual([]);
    }, 60_000);

    it('says so when hello cannot be said', async () => {
      const source = await started({ device: '/dev/full' });
      await vi.waitFor(
        () => expect(source.status().reason?.message).toMatch(/ended \(code 1\).*printf/),
        WITHIN,
      );
    });
  });
});
