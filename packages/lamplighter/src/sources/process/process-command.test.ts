import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { needs } from '../../needs.fixture.js';
import { until } from '../camera/until.fixture.js';
import { describeSourceCompliance } from '../source.compliance.js';
import { pidIn, run, script } from './process.fixture.js';
import { type ProcessOptions, processSource } from './process.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-process-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const inFolder = (name: string): string => path.join(folder, name);

describe('process options', () => {
  const make = (options: Partial<ProcessOptions>) => (): unknown =>
    processSource({ from: { path: '/dev/null' }, ...options }, systemEnvironment());

  it('are checked before anything runs', () => {
    expect(make({ from: {} })).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }));
    expect(make({ silenceMs: 99 })).toThrow(RangeError);
    expect(make({ silenceMs: Number.NaN })).toThrow(RangeError);
    expect(make({ maxBytesPerSecond: 1023 })).toThrow(RangeError);
    expect(make({ maxBytesPerSecond: 65 * 1024 * 1024 })).toThrow(RangeError);
  });
});

needs(
  'setpriv',
  'openssl',
  'sh',
)('process, a command', () => {
  describeSourceCompliance('process', async () => ({
    source: processSource({ from: { command: ['cat', '/dev/urandom'] } }, systemEnvironment()),
    cleanUp: async () => undefined,
  }));

  it('hears every byte, answers a round with their SHA-512, and has an end when it may', async () => {
    await run({ command: ['openssl', 'rand', '100000'], once: true }, async ({ source, events, state }) => {
      await state('ended');
      const all = Buffer.concat(events);
      expect(all.length).toBe(100_000);
      const expected = createHash('sha512').update(all).digest('hex');
      const answer = await source.sample(AbortSignal.timeout(1000));
      expect(Buffer.from(answer ?? []).toString('hex')).toBe(expected);
      expect(await source.sample(AbortSignal.timeout(1000))).toBeUndefined();
      expect(source.status()).toMatchObject({
        basis: { simulated: false, degraded: false, physical: false },
        details: { from: 'openssl', form: 'command', heardBytes: 100_000, restarts: 0 },
      });
    });
  });

  it('loses nothing of what a quick command left in its pipe, however slowly that is heard', async () => {
    const command = ['openssl', 'rand', '60000'];
    await run(
      { command, once: true },
      async ({ bytes, state }) => {
        await state('ended');
        expect(bytes()).toBe(60_000);
      },
      { maxBytesPerSecond: 16 * 1024 },
    );
  });

  it('wipes what it was given once it was heard', async () => {
    const kept: Uint8Array[] = [];
    const source = processSource(
      { from: { command: ['openssl', 'rand', '512'], once: true } },
      systemEnvironment(),
    );
    await source.start({ hear: (bytes) => kept.push(bytes) }, new AbortController().signal);
    await until('its end', () => source.status().state === 'ended');
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
    await source.stop();
  });

  it('starts a command again that was to speak for ever, and shows no stderr beside its bytes', async () => {
    await run(script('echo tell-no-one; echo tell-no-one >&2; exit 3'), async ({ source, text, state }) => {
      await state('failed', 'ERR_CHILD_EXITED');
      expect(source.status().reason?.message).toBe('sh ended (code 3)');
      await until('a second run', () => text() === 'tell-no-one\ntell-no-one\n');
      expect(JSON.stringify(source.status())).not.toContain('tell-no-one');
    });
  });

  it('shows what a command complains of that says nothing else, printable and short', async () => {
    const noise = script(`printf '\\033[2Jno dongle\\n\\377%01000d\\n' 7 >&2; exit 1`);
    await run(noise, async ({ source, state }) => {
      await state('failed', 'ERR_CHILD_EXITED');
      const message = source.status().reason?.message ?? '';
      expect(message).toMatch(/^sh ended \(code 1\): [\x20-\x7e]+7$/);
      expect(message.length).toBeLessThan(250);
    });
    await run(script('echo no dongle >&2'), async ({ source, state }) => {
      await state('failed', 'ERR_CHILD_EXITED');
      expect(source.status().reason?.message).toBe('sh ended (code 0): no dongle');
    });
  });

  it('says that there is no such program, and starts it once there is', async () => {
    const program = inFolder('trng');
    await run({ command: [program] }, async ({ source, events, state }) => {
      await state('failed', 'ERR_CHILD_FAILED');
      expect(source.status().reason?.message).toContain(program);
      writeFileSync(program, '#!/bin/sh\nexec cat /dev/urandom\n', { mode: 0o755 });
      await state('ok');
      expect(events.length).toBeGreaterThan(0);
    });
  });

  it('runs no folder and no file that may not be run, and says when a file is no program', async () => {
    const file = inFolder('data');
    writeFileSync(file, 'no program', { mode: 0o644 });
    for (const program of [folder, file, 'lamplighter-no-such-program']) {
      await run({ command: [program] }, ({ state }) => state('failed', 'ERR_CHILD_FAILED'));
    }
    writeFileSync(inFolder('junk'), '\x7fELF junk', { mode: 0o755 });
    await run({ command: [inFolder('junk')] }, ({ state }) => state('failed', 'ERR_CHILD_EXITED'));
  });

  it('gives a command nothing but PATH, no input, no new privileges, and a session of its own', async () => {
    const tells = script(
      'cat; env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e "^_$"; pwd; grep NoNewPrivs /proc/self/status; cut -d" " -f1,6 /proc/$$/stat; sleep 60',
    );
    await run(tells, async ({ text }) => {
      await until('all of it', () => /^\d+ \d+\n/m.test(text()));
      const [variable, place, privileges, session] = text().trim().split('\n');
      expect([variable, place, privileges]).toEqual(['PATH', '/', 'NoNewPrivs:\t1']);
      const [pid, sid] = session?.split(' ') ?? [];
      expect(pid).toBe(sid);
    });
  });

  it('restarts a command that was killed, and one that falls silent', async () => {
    const file = inFolder('killed');
    await run(script(`echo $$ > ${file}; exec cat /dev/urandom`), async ({ source, state }) => {
      await state('ok');
      process.kill(await pidIn(file), 'SIGKILL');
      await state('failed', 'ERR_CHILD_EXITED');
      expect(source.status().reason?.message).toContain('signal SIGKILL');
      await state('ok');
      expect(source.status().details['restarts']).toBe(1);
    });
    await run(
      script('echo a; sleep 1000'),
      async ({ text, state }) => {
        await state('ok');
        await state('failed', 'ERR_PROCESS_SILENT');
        await until('a second run', () => text() === 'a\na\n');
      },
      { silenceMs: 300 },
    );
  });

  it('is patient with one byte at a time', async () => {
    const drip = script('while :; do printf x; sleep 0.2; done');
    await run(
      drip,
      async ({ source, events }) => {
        await until('ten drops', () => events.length >= 10);
        expect(events.every(({ length }) => length === 1)).toBe(true);
        expect(source.status()).toMatchObject({ state: 'ok', details: { restarts: 0 } });
      },
      { silenceMs: 2_000 },
    );
  });

  it('holds a flood to its budget, in flat memory, and calls it stuck when it is', async () => {
    const rate = 256 * 1024;
    const startedMs = performance.now();
    await run(
      { command: ['cat', '/dev/zero'] },
      async ({ source, bytes, state }) => {
        await state('degraded', 'ERR_SOURCE_STUCK');
        expect(source.status().basis.physical).toBe(false);
        await until('a second of it', () => bytes() > rate);
        const before = process.memoryUsage();
        await until('three seconds of it', () => bytes() > 3 * rate);
        const after = process.memoryUsage();
        const grown = after.arrayBuffers + after.external - before.arrayBuffers - before.external;
        // The test itself keeps what it heard.
        expect(grown).toBeLessThan(2 * (2 * rate) + 8 * 1024 * 1024);
        const seconds = (performance.now() - startedMs) / 1000;
        expect(bytes()).toBeLessThan(rate * seconds + 256 * 1024);
        expect(source.status().details['pauses']).toBeGreaterThan(5);
      },
      { maxBytesPerSecond: rate },
    );
  });

  it('recovers from one byte over and over', async () => {
    const changes = script('head -c 200 /dev/zero; sleep 1; exec cat /dev/urandom');
    await run(changes, async ({ state }) => {
      await state('degraded', 'ERR_SOURCE_STUCK');
      await state('ok');
    });
  });

  it('hears a command however much it complains, and no faster than it may', async () => {
    const complains = script('yes "something is wrong" >&2 & exec cat /dev/urandom');
    await run(complains, async ({ source, bytes }) => {
      await until('a megabyte', () => bytes() > 1024 * 1024);
      expect(source.status().state).toBe('ok');
    });
  });

  it('hears any garbage', async () => {
    const said = createHash('sha512').update('any').digest();
    const all = Buffer.concat(
      Array.from({ length: 2000 }, (_, at) => Buffer.concat([said.subarray(at % 64), Buffer.alloc(at % 50)])),
    );
    const file = inFolder('garbage');
    writeFileSync(file, all);
    await run({ command: ['cat', file], once: true }, async ({ events, state }) => {
      await state('ended');
      expect(Buffer.concat(events).equals(all)).toBe(true);
    });
  });
});
