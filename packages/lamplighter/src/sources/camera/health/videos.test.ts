import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isFull, needs } from '../../../needs.fixture.js';
import { type CameraFault, CameraHealth } from './camera-health.js';
import type { HealthPicture } from './picture.js';
import { type Look, RECIPES, type Recipe } from './recipes.fixture.js';
import { type Codec, type Video, joinedPictures, picturesOf } from './video.fixture.js';

/** The verdict is due so long after the fault began. */
const DUE_MS = 10_000;

const QUICK: readonly [Look, Codec][] = [[{ size: '320x240', fps: 10, noise: 14 }, 'x264']];
const FULL: readonly [Look, Codec][] = [
  ...QUICK,
  [{ size: '320x240', fps: 25, noise: 10 }, 'mjpeg'],
  [{ size: '640x480', fps: 25, noise: 12 }, 'x264'],
  [{ size: '640x480', fps: 15, noise: 20 }, 'mpeg4'],
  [{ size: '320x240', fps: 15, noise: 4 }, 'raw'],
  [{ size: '1280x720', fps: 30, noise: 20 }, 'x264'],
  [{ size: '640x360', fps: 30, noise: 40 }, 'mjpeg'],
];

/** One of each verdict, where time matters. */
const ONE_OF_EACH = RECIPES.filter(
  (recipe, index) => RECIPES.findIndex((other) => verdictOf(other) === verdictOf(recipe)) === index,
);

function verdictOf({ fault }: Recipe): string {
  return fault?.anyOf.join() ?? 'healthy';
}

/** What was said of a video, each half second. */
type Saying = readonly { readonly timeMs: number; readonly faults: readonly CameraFault[] }[];

async function sayings(pictures: AsyncIterable<HealthPicture>): Promise<Saying> {
  const health = new CameraHealth();
  const said: { timeMs: number; faults: readonly CameraFault[] }[] = [];
  for await (const picture of pictures) {
    health.see(picture);
    const { timeMs } = picture;
    if (timeMs - (said.at(-1)?.timeMs ?? -Infinity) < 500) continue;
    said.push({ timeMs, faults: health.verdict(timeMs).faults });
  }
  return said;
}

/** Nothing is said before the fault, and once it is due, one of the right things for as long as it lasts. */
function expectRight(said: Saying, fault: Recipe['fault']): void {
  const fromMs = 1_000 * (fault?.fromSeconds ?? Infinity);
  for (const { timeMs, faults } of said) {
    if (timeMs < fromMs) expect({ timeMs, faults }).toEqual({ timeMs, faults: [] });
    if (fault === undefined || timeMs < fromMs + DUE_MS) continue;
    const isRight = fault.anyOf.some((one) => faults.includes(one));
    expect({ timeMs, faults, isRight }).toEqual({ timeMs, faults, isRight: true });
  }
  if (fault !== undefined) expect(said.at(-1)?.timeMs).toBeGreaterThanOrEqual(fromMs + DUE_MS);
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lamplighter-videos-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

needs('ffmpeg', 'ffprobe')('verdicts over videos', () => {
  for (const [look, codec] of isFull ? FULL : QUICK) {
    const kind = `${look.size}, ${look.fps} fps, noise ${look.noise}, ${codec}`;

    it.each(isFull ? RECIPES : ONE_OF_EACH)(
      `$name (${kind})`,
      { timeout: isFull ? 600_000 : 60_000 },
      async (recipe) => {
        // Times that are not even live in a file only.
        const stored = recipe.isUneven === true && codec === 'raw' ? 'mjpeg' : codec;
        const { name, seconds, isUneven = false } = recipe;
        // A long one is small where time matters.
        const seen = !isFull && seconds > 60 ? { ...look, size: '160x120', fps: 5 } : look;
        const video = { name, seconds, isUneven, lavfi: recipe.lavfi(seen), codec: stored, fps: seen.fps };
        expectRight(await sayings(picturesOf(video, folder)), recipe.fault);
      },
    );

    it(`another resolution in the middle (${kind})`, { timeout: 120_000 }, async () => {
      const parts = ['640x480', '320x240'].map((size): Video => {
        const noise = `noise=alls=${look.noise}:allf=t`;
        const lavfi = `gradients=s=${size}:r=${look.fps}:n=4:seed=7:speed=0.002,format=yuv420p,${noise}`;
        return { name: `part ${size}`, lavfi, codec, seconds: 11, fps: look.fps };
      });
      const [first, second] = parts;
      if (first === undefined || second === undefined) throw new Error('two parts');
      const said = await sayings(joinedPictures([first, second], folder));
      expectRight(said, { anyOf: ['changed'], fromSeconds: 11 });
    });
  }

  const good = RECIPES.filter(({ fault, name }) => fault === undefined && !name.startsWith('daylight'));
  it.runIf(isFull).each(good)(
    'no false alarm in ten minutes of $name',
    { timeout: 1_800_000 },
    async ({ name, lavfi }) => {
      const look = { size: '320x240', fps: 25, noise: 12 };
      const video = {
        name: `long ${name}`,
        lavfi: lavfi(look),
        codec: 'x264',
        seconds: 600,
        fps: 25,
      } as const;
      expectRight(await sayings(picturesOf(video, folder)), undefined);
    },
  );
});
