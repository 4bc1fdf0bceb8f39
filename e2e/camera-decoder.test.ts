import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { Decoder } from '../packages/lamplighter/dist/sources/camera/decoder.js';
import type { SeenPicture } from '../packages/lamplighter/dist/sources/camera/input.js';
import { testJpeg } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { slowJpeg } from '../packages/lamplighter/dist/sources/camera/slow-jpeg.fixture.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';

/** Runs a decoder at 10 pictures a second for the length of a test, with every child it starts. */
async function withDecoder(
  body: (use: {
    offer: (jpeg: Uint8Array) => void;
    decoder: Decoder;
    pictures: SeenPicture[];
    pids: number[];
  }) => Promise<void>,
): Promise<void> {
  const environment = systemEnvironment();
  const pids: number[] = [];
  const pictures: SeenPicture[] = [];
  const decoder = new Decoder(
    { picturesPerSecond: 10 },
    {
      ...environment,
      spawn: (command, args, options) => {
        const child = environment.spawn(command, args, options);
        if (!args.some((argument) => argument.endsWith('decoder-process.js'))) return child;
        expect(options.env).toEqual({});
        if (child.pid !== undefined) pids.push(child.pid);
        return child;
      },
    },
  );
  const offer = (jpeg: Uint8Array) =>
    decoder.offer(jpeg, (picture) => pictures.push({ ...picture, luma: Uint8Array.from(picture.luma) }));
  const stopping = new AbortController();
  const running = decoder.run(stopping.signal);
  try {
    await body({ offer, decoder, pictures, pids });
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
    await withDecoder(async ({ offer, decoder, pictures }) => {
      let seed = 0;
      await offerUntil(
        'three pictures',
        () => offer(testJpeg(seed++)),
        () => pictures.length >= 3,
      );
      expect(seed).toBeGreaterThan(pictures.length);
      expect(pictures[0]).toMatchObject({ sourceWidth: 96, sourceHeight: 64, mediaMs: undefined });
      expect(pictures[0]?.luma.length).toBe(160 * 120);
      const times = pictures.map(({ arrivedMs }) => arrivedMs);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      expect(decoder.sandbox).toContain('no capabilities');
      expect(new Set(pictures[0]?.luma).size).toBeGreaterThan(20);
      expect(decoder.counts).toMatchObject({ undecodable: 0, restarts: 0 });
    });
  });

  it('says what it cannot decode and carries on', async () => {
    await withDecoder(async ({ offer, decoder, pictures, pids }) => {
      const whole = testJpeg(1);
      const bad = [
        Buffer.from('no JPEG'),
        Buffer.of(0xff),
        whole.subarray(0, 100),
        Buffer.alloc(100_000, 0xff),
      ];
      let next = 0;
      const offerBad = () => offer(bad[next++ % bad.length] ?? whole);
      await offerUntil('four refusals', offerBad, () => decoder.counts.undecodable >= 4);
      const before = pictures.length;
      await offerUntil(
        'a picture',
        () => offer(whole),
        () => pictures.length > before,
      );
      expect(pids.length).toBe(1);
    });
  });

  it('replaces a process that is killed', async () => {
    await withDecoder(async ({ offer, decoder, pictures, pids }) => {
      const offerOne = () => offer(testJpeg(1));
      await offerUntil('a picture', offerOne, () => pictures.length > 0);
      process.kill(pids[0] ?? 0, 'SIGKILL');
      await until('the death is seen', () => decoder.counts.restarts === 1);
      const before = pictures.length;
      await offerUntil('a picture of the next process', offerOne, () => pictures.length > before);
      expect(pids.length).toBe(2);
    });
  });

  it('kills and replaces a process that a picture keeps busy', async () => {
    await withDecoder(async ({ offer, decoder, pictures, pids }) => {
      const offerOne = () => offer(testJpeg(1));
      await offerUntil('a picture', offerOne, () => pictures.length > 0);
      const slow = slowJpeg();
      const skipped = decoder.counts.skipped;
      await offerUntil(
        'the hang is ended',
        () => offer(slow),
        () => decoder.counts.restarts === 1,
      );
      expect(decoder.counts.skipped).toBeGreaterThan(skipped);
      const before = pictures.length;
      await offerUntil('a picture of the next process', offerOne, () => pictures.length > before);
      expect(pids.length).toBe(2);
    });
  });
});
