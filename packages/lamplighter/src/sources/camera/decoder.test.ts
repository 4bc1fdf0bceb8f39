import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { Decoder } from './decoder.js';
import type { Preview } from './preview.js';
import { testJpeg } from './mjpeg-server.fixture.js';
import { slowJpeg } from './slow-jpeg.fixture.js';
import { until } from './until.fixture.js';

/** Runs a decoder at 10 previews a second for the length of a test, with every child it starts. */
async function withDecoder(
  body: (use: { decoder: Decoder; previews: Preview[]; pids: number[] }) => Promise<void>,
): Promise<void> {
  const environment = systemEnvironment();
  const pids: number[] = [];
  const previews: Preview[] = [];
  const decoder = new Decoder(
    { previewPerSecond: 10, onPreview: (preview) => previews.push(preview) },
    {
      ...environment,
      spawn: (command, args, options) => {
        expect(options.env).toEqual({});
        const child = environment.spawn(command, args, options);
        if (child.pid !== undefined) pids.push(child.pid);
        return child;
      },
    },
  );
  const stopping = new AbortController();
  const running = decoder.run(stopping.signal);
  try {
    await body({ decoder, previews, pids });
  } finally {
    stopping.abort();
    await running;
  }
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
}

/** Offers until something comes of it. */
async function offerUntil(what: string, offer: () => void, condition: () => boolean): Promise<void> {
  await until(what, () => {
    offer();
    return condition();
  });
}

describe('Decoder', () => {
  it('makes small gray pictures of JPEGs, at its own pace, and leaves no process behind', async () => {
    await withDecoder(async ({ decoder, previews }) => {
      let seed = 0;
      await offerUntil(
        'three previews',
        () => decoder.offer(testJpeg(seed++)),
        () => previews.length >= 3,
      );
      expect(seed).toBeGreaterThan(previews.length);
      expect(previews[0]).toMatchObject({ width: 64, height: 48 });
      expect(previews[0]?.luma.length).toBe(64 * 48);
      expect(new Set(previews[0]?.luma).size).toBeGreaterThan(20);
      expect(decoder.counts).toMatchObject({ undecodable: 0, restarts: 0 });
    });
  });

  it('says what it cannot decode and carries on', async () => {
    await withDecoder(async ({ decoder, previews, pids }) => {
      const whole = testJpeg(1);
      const bad = [
        Buffer.from('no JPEG'),
        Buffer.of(0xff),
        whole.subarray(0, 100),
        Buffer.alloc(100_000, 0xff),
      ];
      let next = 0;
      const offerBad = () => decoder.offer(bad[next++ % bad.length] ?? whole);
      await offerUntil('four refusals', offerBad, () => decoder.counts.undecodable >= 4);
      const before = previews.length;
      await offerUntil(
        'a preview',
        () => decoder.offer(whole),
        () => previews.length > before,
      );
      expect(pids.length).toBe(1);
    });
  });

  it('replaces a process that is killed', async () => {
    await withDecoder(async ({ decoder, previews, pids }) => {
      const offer = () => decoder.offer(testJpeg(1));
      await offerUntil('a preview', offer, () => previews.length > 0);
      process.kill(pids[0] ?? 0, 'SIGKILL');
      await until('the death is seen', () => decoder.counts.restarts === 1);
      const before = previews.length;
      await offerUntil('a preview of the next process', offer, () => previews.length > before);
      expect(pids.length).toBe(2);
    });
  });

  it('kills and replaces a process that a picture keeps busy', async () => {
    await withDecoder(async ({ decoder, previews, pids }) => {
      const offer = () => decoder.offer(testJpeg(1));
      await offerUntil('a preview', offer, () => previews.length > 0);
      const slow = slowJpeg();
      const skipped = decoder.counts.skipped;
      await offerUntil(
        'the hang is ended',
        () => decoder.offer(slow),
        () => decoder.counts.restarts === 1,
      );
      expect(decoder.counts.skipped).toBeGreaterThan(skipped);
      const before = previews.length;
      await offerUntil('a preview of the next process', offer, () => previews.length > before);
      expect(pids.length).toBe(2);
    });
  });
});
