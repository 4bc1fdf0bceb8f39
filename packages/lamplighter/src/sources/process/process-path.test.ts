import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { needs } from '../../needs.fixture.js';
import { until } from '../camera/until.fixture.js';
import { describeSourceCompliance } from '../source.compliance.js';
import { asNobody } from './as-nobody.fixture.js';
import { hearing } from './hearing-source.fixture.js';
import { run } from './process.fixture.js';
import { processSource } from './process.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-process-'));
  chmodSync(folder, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true }));

const inFolder = (name: string): string => path.join(folder, name);

function makeFifo(name: string): string {
  const fifo = inFolder(name);
  execFileSync('mkfifo', [fifo]);
  return fifo;
}

/** Opens a FIFO for writing without waiting for a reader; undefined while there is none. */
async function writerOf(fifo: string): Promise<fs.FileHandle> {
  for (;;) {
    try {
      return await fs.open(fifo, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe('process, a FIFO', () => {
  it('is heard, is lost when its writer goes, and comes back', async () => {
    const fifo = makeFifo('fifo');
    await run({ path: fifo }, async ({ source, text, state }) => {
      const first = await writerOf(fifo);
      expect(source.status().state).toBe('starting');
      await first.write('one');
      await until('the first', () => text() === 'one');
      expect(source.status()).toMatchObject({ state: 'ok', details: { form: 'fifo' } });
      await first.close();
      await state('failed', 'ERR_PROCESS_GONE');
      const second = await writerOf(fifo);
      await second.write('two');
      await until('the second', () => text() === 'onetwo');
      expect(source.status().state).toBe('ok');
      await second.close();
    });
  });

  it('that nobody writes holds no thread: file access and cryptography go on', async () => {
    const fifos = Array.from({ length: 6 }, (_, at) => makeFifo(`silent-${at}`));
    const sources = fifos.map((fifo) => processSource({ from: { path: fifo } }, systemEnvironment()));
    for (const source of sources) await source.start({ hear: () => undefined }, new AbortController().signal);
    await until('all to listen', () => sources.every((source) => source.status().details['form'] === 'fifo'));
    for (let times = 0; times < 20; times += 1) await fs.stat(folder);
    await Promise.all(sources.map((source) => source.stop()));
    expect(sources.map((source) => source.status().state)).toEqual(fifos.map(() => 'stopped'));
  });

  it('that is silent is failed, and stays ready to be heard', async () => {
    const fifo = makeFifo('quiet');
    await run(
      { path: fifo },
      async ({ text, state }) => {
        await state('failed', 'ERR_PROCESS_SILENT');
        const writer = await writerOf(fifo);
        const speaking = setInterval(() => void writer.write('x').catch(() => undefined), 50);
        await until('a word', () => text().length > 0);
        clearInterval(speaking);
        await writer.close();
      },
      { silenceMs: 200 },
    );
  });

  it('holds back a writer that is too fast', async () => {
    const fifo = makeFifo('flooded');
    await run(
      { path: fifo },
      async ({ bytes, source }) => {
        const flood = spawn('sh', ['-c', 'exec cat /dev/urandom > "$0"', fifo], { stdio: 'ignore' });
        const startedMs = performance.now();
        await until('half a megabyte', () => bytes() > 512 * 1024);
        expect(performance.now() - startedMs).toBeGreaterThan(1000);
        expect(source.status().details['restarts']).toBe(0);
        flood.kill('SIGKILL');
      },
      { maxBytesPerSecond: 256 * 1024 },
    );
  });
});

needs('setpriv')('process, a path', () => {
  describeSourceCompliance('process', async () => ({
    source: processSource({ name: 'device', from: { path: '/dev/urandom' } }, systemEnvironment()),
    cleanUp: async () => undefined,
  }));

  it('reads a regular file once, to its end, at its pace', async () => {
    const file = inFolder('file');
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 31) % 251));
    writeFileSync(file, bytes);
    const startedMs = performance.now();
    await run(
      { path: file },
      async ({ source, events, state }) => {
        await state('ended');
        expect(Buffer.concat(events).equals(bytes)).toBe(true);
        expect(performance.now() - startedMs).toBeGreaterThan(1500);
        expect((await source.sample(AbortSignal.timeout(1000)))?.length).toBe(64);
        expect(await source.sample(AbortSignal.timeout(1000))).toBeUndefined();
        expect(source.status()).toMatchObject({
          state: 'ended',
          details: { form: 'regular file', restarts: 0 },
        });
      },
      { maxBytesPerSecond: 128 * 1024 },
    );
  });

  it('waits for what is not there or empty, and hears it once it is', async () => {
    const file = inFolder('later');
    await run({ path: file }, async ({ source, text, state }) => {
      await state('failed', 'ERR_PROCESS_GONE');
      expect(source.status().reason?.message).toContain('ENOENT');
      writeFileSync(file, '');
      await until('it is empty', () => source.status().reason?.message.includes('empty'));
      writeFileSync(file, 'here');
      await state('ended');
      expect(text()).toBe('here');
    });
  });

  it('hears a device, whose links are followed, and calls /dev/zero stuck', async () => {
    const link = inFolder('by-id');
    symlinkSync('/dev/zero', link);
    await run({ path: link }, async ({ source, state }) => {
      await state('degraded', 'ERR_SOURCE_STUCK');
      expect(source.status().details['form']).toBe('character device');
    });
    await run({ path: '/dev/null' }, ({ state }) => state('failed', 'ERR_PROCESS_GONE'));
  });

  it('refuses what is nothing that speaks', async () => {
    mkdirSync(inFolder('a-folder'));
    await run({ path: inFolder('a-folder') }, ({ state }) => state('failed', 'ERR_PROCESS_REFUSED'));
  });

  it('says that it may not read what it is to hear', async () => {
    const [fifo, file] = [makeFifo('secret-fifo'), inFolder('secret')];
    chmodSync(fifo, 0);
    writeFileSync(file, 'tell-no-one', { mode: 0 });
    await asNobody(async () => {
      await run({ path: fifo }, ({ state }) => state('failed', 'ERR_PROCESS_REFUSED'));
      await run({ path: file }, async ({ source, bytes, state }) => {
        await state('failed');
        // access(2) asks for the real user, who for a test may still be root: then `cat` says it.
        expect(source.status().reason?.message).toMatch(/we may not read|Permission denied/);
        expect(bytes()).toBe(0);
      });
    });
  });

  it('hears a file that never ends and looks regular, and leaves it when it is silent', async () => {
    // A FIFO under a regular file's stat stands in for /proc/kmsg, which only root may read.
    const fifo = makeFifo('looks-regular');
    const environment = systemEnvironment();
    const stat = ((file: string) => fs.stat(file === fifo ? import.meta.filename : file)) as typeof fs.stat;
    const source = processSource(
      { from: { path: fifo }, silenceMs: 300 },
      { ...environment, fs: { ...environment.fs, stat } },
    );
    await hearing(source, async ({ state }) => {
      await state('failed', 'ERR_PROCESS_SILENT');
    });
  });
});

needs('setpriv', 'script')('process, a serial line', () => {
  /** A terminal of its own: what is written to `script` comes out of the device it names. */
  async function terminal(
    link: string,
  ): Promise<{ write: (text: string) => void; unplug: () => Promise<void> }> {
    const name = `${link}.name`;
    const child = spawn('script', ['-qfc', `stty raw -echo; tty > ${name}; exec sleep 1000`, '/dev/null'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const device = await until('a terminal', () => readName(name));
    rmSync(name);
    symlinkSync(device, `${link}.new`);
    renameSync(`${link}.new`, link);
    return {
      write: (text) => void child.stdin.write(text),
      unplug: async () => {
        rmSync(link);
        child.kill('SIGKILL');
        await once(child, 'close');
      },
    };
  }

  it('is heard, is lost when it is unplugged, and comes back', async () => {
    const link = inFolder('tty');
    const first = await terminal(link);
    await run({ path: link }, async ({ source, text, state }) => {
      await until('cat at work', () => source.status().details['form'] === 'character device');
      first.write('one');
      await until('the first', () => text() === 'one');
      expect(source.status().state).toBe('ok');
      await first.unplug();
      await state('failed', 'ERR_PROCESS_GONE');
      const second = await terminal(link);
      second.write('two');
      await until('the second', () => text() === 'onetwo');
      expect(source.status().state).toBe('ok');
      await second.unplug();
    });
  });
});

function readName(file: string): string | undefined {
  try {
    const text = execFileSync('cat', [file], { encoding: 'latin1', stdio: ['ignore', 'pipe', 'ignore'] });
    return text.endsWith('\n') ? text.trim() : undefined;
  } catch {
    return undefined;
  }
}
