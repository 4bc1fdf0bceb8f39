import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Environment, type Timers, systemEnvironment } from '../local/environment.js';
import { watchedKernel } from '../local/watched-kernel.fixture.js';
import { testNode } from './context.fixture.js';
import { describeOutletCompliance } from './outlet.compliance.js';
import { unable } from '../local/ability.js';
import { notingNative } from '../local/fixed-process.fixture.js';
import { WITHIN } from '../within.fixture.js';
import { kernelOutlet } from './kernel.js';

const DEVICE = '/dev/random';
/** A user without CAP_SYS_ADMIN: what is handed over can be seen as writes. */
const native = { ...notingNative(), addEntropy: () => unable('not permitted') };

let directory: string;
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), 'lamplighter-kernel-'));
});
afterEach(() => fs.rm(directory, { recursive: true }));

describeOutletCompliance('kernel', () => {
  const { environment, writes } = watchedKernel();
  return Promise.resolve({
    outlet: kernelOutlet({ name: 'kernel', environment, native, periodMs: 5 }),
    /** The next write; none within a few periods is the kernel's way of being told "not ready". */
    ask() {
      const before = writes.length;
      return vi
        .waitFor(() => writes[before] ?? Promise.reject(new Error('no write yet')), {
          timeout: 500,
          interval: 1,
        })
        .catch(() => undefined);
    },
    cleanUp: () => Promise.resolve(),
  });
});

/** Timers whose sleeps end when the test says so. */
function steppedTimers() {
  const sleeps: { delayMs: number; wake: () => void }[] = [];
  const timers: Timers = {
    ...systemEnvironment().timers,
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        const stop = (): void => reject(new DOMException('aborted', 'AbortError'));
        signal?.addEventListener('abort', stop, { once: true });
        const wake = (): void => {
          signal?.removeEventListener('abort', stop);
          resolve();
        };
        sleeps.push({ delayMs, wake });
      }),
  };
  return { sleeps, timers };
}

describe('kernelOutlet', () => {
  it('writes nothing before the node is seeded, then at once, then by timer with jitter, each time other bytes', async () => {
    const { environment: real, writes } = watchedKernel();
    const { sleeps, timers } = steppedTimers();
    const node = testNode();
    const outlet = kernelOutlet({
      name: 'kernel',
      native,
      environment: { ...real, timers },
      periodMs: 1_000,
    });
    await outlet.start(node.context, new AbortController().signal);
    expect(outlet.status()).toMatchObject({ state: 'waiting', bytes: 0 });

    node.seed();
    for (let turn = 1; turn <= 20; turn += 1) {
      await vi.waitFor(() => expect(sleeps).toHaveLength(turn), { interval: 1 });
      expect(writes).toHaveLength(turn);
      sleeps.at(-1)?.wake();
    }
    const delays = sleeps.map(({ delayMs }) => delayMs);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(800);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1_200);
    expect(new Set(delays).size).toBeGreaterThan(10);
    expect(new Set(writes.map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBe(writes.length);
    await outlet.stop(1_000);
    const { state, bytes, details } = outlet.status();
    expect(state).toBe('stopped');
    expect(bytes).toBe(writes.length * 64);
    expect(details).toMatchObject({
      device: DEVICE,
      writes: writes.length,
      creditedBits: 0,
      reseeded: false,
    });
  });

  it('shows a write that fails, and recovers at the next turn', async () => {
    const { sleeps, timers } = steppedTimers();
    const node = testNode();
    node.seed();
    const device = join(directory, 'device');
    let path = device;
    const environment: Environment = {
      ...systemEnvironment(),
      timers,
      fs: { ...fs, open: (_, flags) => fs.open(path, flags) },
    };
    const outlet = kernelOutlet({ name: 'kernel', native, environment, device });
    await outlet.start(node.context, new AbortController().signal);
    await vi.waitFor(() => expect(sleeps).toHaveLength(1), WITHIN);
    expect(outlet.status()).toMatchObject({
      state: 'failed',
      reason: { code: 'ERR_KERNEL_WRITE' },
      bytes: 0,
      details: { failures: 1 },
    });
    path = DEVICE;
    sleeps[0]?.wake();
    await vi.waitFor(() => expect(sleeps).toHaveLength(2), WITHIN);
    expect(outlet.status()).toMatchObject({ state: 'ok', bytes: 64 });
    expect(outlet.status().reason).toBeUndefined();
    await outlet.stop(1_000);
  });

  it('stops while it waits to be ready, and when the node never was', async () => {
    for (const end of ['stop', 'abort', 'unseeded']) {
      const node = testNode();
      const controller = new AbortController();
      const outlet = kernelOutlet({ name: 'kernel', native, environment: systemEnvironment() });
      await outlet.start(node.context, controller.signal);
      if (end === 'abort') controller.abort();
      if (end === 'unseeded') node.stopUnseeded();
      await outlet.stop(1_000);
      await outlet.stop(1_000);
      expect(outlet.status()).toMatchObject({ state: 'stopped', bytes: 0 });
    }
  });
});
