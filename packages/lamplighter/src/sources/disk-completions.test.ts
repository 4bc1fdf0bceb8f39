import { describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { WITHIN } from '../within.fixture.js';
import { diskCompletions } from './disk-completions.js';

const EVENT_LOOP = () => new Promise((resolve) => setImmediate(resolve));

describe('diskCompletions', () => {
  it('tells when reads of a real file are over', async () => {
    let told = 0;
    const disk = diskCompletions({ periodMs: 1 }, systemEnvironment(), () => (told += 1));
    await vi.waitFor(() => expect(told).toBeGreaterThan(5), 10_000);
    await disk.stop();
    expect(disk.status()).toEqual({ completions: told, failures: 0, stalled: false });
  });

  it('a file that is not there is a failure, counted, and nothing is told', async () => {
    let told = 0;
    const options = { periodMs: 1, file: '/no/such/file' };
    const disk = diskCompletions(options, systemEnvironment(), () => (told += 1));
    await vi.waitFor(() => expect(disk.status().failures).toBeGreaterThan(2), 10_000);
    expect(told).toBe(0);
    await disk.stop();
  });

  it('a file system that hangs costs one read, is named, and holds up nobody', async () => {
    const environment = fixedEnvironment();
    let opens = 0;
    let answer: (() => void) | undefined;
    const hanging = {
      ...environment,
      fs: {
        ...environment.fs,
        open: (file: Parameters<typeof environment.fs.open>[0], flags?: string | number) => {
          opens += 1;
          return new Promise<Awaited<ReturnType<typeof environment.fs.open>>>((resolve) => {
            answer = () => resolve(environment.fs.open(file, flags));
          });
        },
      },
    };
    let told = 0;
    const disk = diskCompletions({ periodMs: 100 }, hanging, () => (told += 1));
    environment.advance(4_000);
    expect(disk.status().stalled).toBe(false);
    environment.advance(2_000);
    expect(opens).toBe(1);
    expect(disk.status()).toEqual({ completions: 0, failures: 0, stalled: true });

    answer?.();
    await vi.waitFor(() => expect(told).toBe(1), WITHIN);
    expect(disk.status()).toEqual({ completions: 1, failures: 0, stalled: false });

    await EVENT_LOOP();
    environment.advance(100);
    expect(opens).toBe(2);
    let isStopped = false;
    const stopped = disk.stop().then(() => (isStopped = true));
    await EVENT_LOOP();
    expect(isStopped).toBe(false);
    environment.advance(1_000);
    await stopped;
    answer?.();
    await EVENT_LOOP();
    expect(told).toBe(1);
  });
});
