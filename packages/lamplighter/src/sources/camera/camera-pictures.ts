import type { Environment } from '../../local/environment.js';
import type { CameraDoor } from '../../wire/camera-door.js';
import { noisePalette, noisePicture } from './noise-map.js';
import type { PictureView } from './picture-watch.js';
import type { Preview } from './preview.js';

/** The noise map is drawn anew at most once in so long, ms: it is an average over twenty seconds. */
const NOISE_PERIOD_MS = 1_000;

/**
 * The pictures of a camera for people, as PNG files. Each is made when somebody asks and given to whoever else asks meanwhile, so that a
 * hundred viewers cost what one does: 1 ms a second for the preview, 5 for the noise map.
 * @param camera - `preview`: the same object as long as it is the same picture; where there is none there is no noise map either
 */
export function cameraPictures(
  camera: { preview(): Preview | undefined; view(): PictureView },
  environment: Pick<Environment, 'monotonicNs'>,
): Pick<CameraDoor, 'preview' | 'noise'> {
  let shown: { preview: Preview; png: Promise<Uint8Array> } | undefined;
  let map: { madeMs: number; png: Promise<Uint8Array> } | undefined;
  return {
    async preview() {
      const preview = camera.preview();
      if (preview === undefined) return undefined;
      if (shown?.preview !== preview) shown = { preview, png: grayPng(preview) };
      return shown.png;
    },
    async noise() {
      if (camera.preview() === undefined) return undefined;
      const nowMs = Number(environment.monotonicNs() / 1_000_000n);
      if (map !== undefined && nowMs - map.madeMs < NOISE_PERIOD_MS) return map.png;
      map = { madeMs: nowMs, png: noisePng(camera.view()) };
      return map.png;
    },
  };
}

async function grayPng({ width, height, luma }: Preview): Promise<Uint8Array> {
  const { encode } = await pngEncoder();
  return encode({ width, height, data: luma, channels: 1, depth: 8 });
}

async function noisePng(view: PictureView): Promise<Uint8Array> {
  const { encode } = await pngEncoder();
  const { width, height, indices } = noisePicture(view);
  palette ??= noisePalette().map((colour) => [...colour]);
  return encode({ width, height, data: indices, channels: 1, depth: 8, palette });
}

let palette: number[][] | undefined;

/** Loaded when the first picture is wanted: a node that nobody looks at does without. */
const pngEncoder = () => import('fast-png');
