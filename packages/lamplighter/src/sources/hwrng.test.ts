import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { WITHIN } from '../within.fixture.js';
import { hwrngSource } from './hwrng.js';
import { describeSourceCompliance } from './source.compliance.js';

const NEVER = new AbortController().signal;

describeSourceCompliance('hwrng', () =>
  Promise.resolve({
    source: hwrngSource({ path: '/dev/urandom', periodMs: 50 }, systemEnvironment()),
    cleanUp: () => Promise.resolve(),
  }),
);

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'hwrng-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const inFolder = (name: string): string => path.join(folder, name);

/** Puts a device at a path in one step, as udev does. */
async function plug(device: string, at: string): Promise<void> {
  await symlink(device, `${at}.new`);
  await rename(`${at}.new`, at);
}

/** The real machine, with a list of the children it was asked for. */
function watched(): { environment: Environment; children: ChildProcess[] } {
  const system = systemEnvironment();
  const children: ChildProcess[] = [];
  const environment: Environment = {
    ...system,
    spawn(command, args, options) {
      const child = system.spawn(command, args, options);
      children.push(child);
      return child;
    },
  };
  return { environment, children };
}

describe('hwrng', () => {
  it('is 64 bytes an answer, of a real character device', async () => {
    const source = hwrngSource({ path: '/dev/urandom' }, systemEnvironment());
    expect(await source.sample(NEVER)).toHaveLength(64);
    expect(source.status()).toMatchObject({ state: 'ok', details: { answers: 1, path: '/dev/urandom' } });
  });

  it('a stuck device is heard and degraded, and back after three good answers', async () => {
    const device = inFolder('hwrng');
    await plug('/dev/zero', device);
    const source = hwrngSource({ path: device }, systemEnvironment());
    expect(await source.sample(NEVER)).toEqual(new Uint8Array(64));
    expect(source.status()).toMatchObject({
      state: 'degraded',
      reason: { code: 'ERR_SOURCE_STUCK' },
      details: { stuckAnswers: 1 },
    });
    await plug('/dev/urandom', device);
    const states: string[] = [];
    for (let answer = 0; answer < 3; answer += 1) {
      await source.sample(NEVER);
      states.push(source.status().state);
    }
    expect(states).toEqual(['degraded', 'degraded', 'ok']);
    expect(source.status().reason).toBeUndefined();
  });

  it('a missing device is no fault, and is found when it is plugged in', async () => {
    const device = inFolder('hwrng');
    const source = hwrngSource({ path: device }, systemEnvironment());
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'absent',
      reason: { code: 'ERR_SOURCE_ABSENT' },
      details: { failures: 0 },
    });
    await plug('/dev/urandom', device);
    expect(await source.sample(NEVER)).toHaveLength(64);
    expect(source.status().state).toBe('ok');
  });

  it('a device without hardware behind it is no fault', async () => {
    // ENXIO for a session without a terminal, which the child always is.
    const source = hwrngSource({ path: '/dev/tty' }, systemEnvironment());
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({ state: 'absent', reason: { code: 'ERR_SOURCE_ABSENT' } });
  });

  it('a device that stays silent costs its deadline and leaves no child behind', async () => {
    const fifo = inFolder('fifo');
    execFileSync('mkfifo', [fifo]);
    const { environment, children } = watched();
    const source = hwrngSource({ path: fifo, deadlineMs: 200 }, environment);
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'failed',
      reason: { code: 'ERR_DEADLINE', message: 'head gave no answer in 200 ms' },
    });
    expect(children.map(({ signalCode }) => signalCode)).toEqual(['SIGKILL']);
  });

  it('stop does not wait for a silent device', async () => {
    const fifo = inFolder('fifo');
    execFileSync('mkfifo', [fifo]);
    const { environment, children } = watched();
    const source = hwrngSource({ path: fifo, deadlineMs: 60_000 }, environment);
    await source.start({ hear: () => undefined }, NEVER);
    const answer = source.sample(NEVER);
    await vi.waitFor(() => expect(children).toHaveLength(1), WITHIN);
    await source.stop();
    expect(await answer).toBeUndefined();
    expect(children.map(({ signalCode }) => signalCode)).toEqual(['SIGKILL']);
    expect(source.status().state).toBe('stopped');
  });

  it('a round that closes while another question is under way is answered at once', async () => {
    const fifo = inFolder('fifo');
    execFileSync('mkfifo', [fifo]);
    const { environment, children } = watched();
    const source = hwrngSource({ path: fifo, deadlineMs: 60_000 }, environment);
    await source.start({ hear: () => undefined }, NEVER);
    await vi.waitFor(() => expect(children).toHaveLength(1), WITHIN);
    const closing = new AbortController();
    const answer = source.sample(closing.signal);
    closing.abort();
    expect(await answer).toBeUndefined();
    expect(children.map(({ signalCode }) => signalCode)).toEqual([null]);
    expect(source.status()).toMatchObject({ state: 'failed', reason: { code: 'ERR_DEADLINE' } });
    await source.stop();
    expect(children.map(({ signalCode }) => signalCode)).toEqual(['SIGKILL']);
  });

  it('an empty answer is a failure with its number', async () => {
    const source = hwrngSource({ path: '/dev/null' }, systemEnvironment());
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'failed',
      reason: { code: 'ERR_DEVICE', message: '/dev/null gave 0 of 64 bytes' },
    });
  });

  it('a file is no device: it would give the same bytes for ever', async () => {
    const file = inFolder('file');
    await writeFile(file, 'x'.repeat(100));
    const { environment, children } = watched();
    const source = hwrngSource({ path: file }, environment);
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({ state: 'failed', reason: { code: 'ERR_DEVICE' } });
    expect(children).toEqual([]);
  });

  it('goes on by itself after failures: back-off, then heard', async () => {
    const device = inFolder('hwrng');
    await plug('/dev/null', device);
    const system = systemEnvironment();
    const waits: number[] = [];
    const environment: Environment = {
      ...system,
      timers: {
        ...system.timers,
        sleep: async (delayMs, signal) => {
          waits.push(delayMs);
          if (waits.length === 3) await plug('/dev/urandom', device);
          await system.timers.sleep(waits.length > 3 ? 3_600_000 : 0, signal);
        },
      },
    };
    const source = hwrngSource({ path: device }, environment);
    const events: number[] = [];
    await source.start({ hear: (bytes) => events.push(bytes.length) }, NEVER);
    await vi.waitFor(() => expect(events).toEqual([64]), WITHIN);
    expect(source.status()).toMatchObject({ state: 'ok', details: { failures: 3 } });
    for (const wait of waits.slice(0, 3)) expect(wait).toBeLessThanOrEqual(60_000);
    await source.stop();
  });
});
