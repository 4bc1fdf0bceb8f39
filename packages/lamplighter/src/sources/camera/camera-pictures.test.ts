import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { cameraPictures } from './camera-pictures.js';
import { noiseIndex, noisePalette } from './noise-map.js';
import type { PictureView } from './picture-watch.js';
import type { Preview } from './preview.js';

const preview = (level: number): Preview => ({ width: 4, height: 2, luma: new Uint8Array(8).fill(level) });

function viewOf(levels: number): PictureView {
  const noise = new Float32Array(160 * 120).fill(levels);
  const histogram = new Uint32Array(256);
  return { width: 160, height: 120, noise, counted: undefined, histogram, preview: undefined };
}

/** Pictures on a clock that is turned by hand. */
function stage() {
  let nowMs = 1_000;
  let views = 0;
  const camera = { shown: undefined as Preview | undefined, levels: 0 };
  const pictures = cameraPictures(
    {
      preview: () => camera.shown,
      view: () => {
        views += 1;
        return viewOf(camera.levels);
      },
    },
    { ...systemEnvironment(), monotonicNs: () => BigInt(nowMs) * 1_000_000n },
  );
  return { camera, pictures, views: () => views, turn: (ms: number) => (nowMs += ms) };
}

describe('cameraPictures', () => {
  it('has none before there is one', async () => {
    const { pictures } = stage();
    expect(await pictures.preview()).toBeUndefined();
    expect(await pictures.noise()).toBeUndefined();
  });

  it('gives the preview as a gray PNG, byte for byte', async () => {
    const { camera, pictures } = stage();
    camera.shown = preview(100);
    const { width, height, channels, depth, data } = decode((await pictures.preview()) ?? new Uint8Array());
    expect({ width, height, channels, depth }).toEqual({ width: 4, height: 2, channels: 1, depth: 8 });
    expect([...data]).toEqual([...preview(100).luma]);
  });

  it('makes a preview once, however many ask, and anew for the next picture', async () => {
    const { camera, pictures } = stage();
    camera.shown = preview(100);
    const [first, second] = await Promise.all([pictures.preview(), pictures.preview()]);
    expect(second).toBe(first);
    camera.shown = preview(101);
    expect(await pictures.preview()).not.toBe(first);
  });

  it('draws the noise map in the colours of the palette, at most once a second', async () => {
    const { camera, pictures, views, turn } = stage();
    camera.shown = preview(100);
    camera.levels = 2;
    const { width, height, data, palette } = decode((await pictures.noise()) ?? new Uint8Array());
    expect({ width, height, pixel: data[500], palette }).toEqual({
      width: 160,
      height: 120,
      pixel: noiseIndex(2),
      palette: noisePalette(),
    });
    camera.levels = 8;
    turn(999);
    await pictures.noise();
    expect(views()).toBe(1);
    turn(1);
    expect(decode((await pictures.noise()) ?? new Uint8Array()).data[500]).toBe(noiseIndex(8));
    camera.shown = undefined;
    expect(await pictures.noise()).toBeUndefined();
  });
});
