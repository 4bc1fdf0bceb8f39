import { createJpegEncoder } from '../packages/lamplighter/dist/demo/wall/jpeg.js';
import { type Act, begin, part } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';

const WIDTH = 160;
const HEIGHT = 120;
const PERIOD_MS = 100;
const NOISE_LEVELS = 9;
/** Gaussian noise is drawn from a table, which is cut at another place for every picture. */
const NOISE = Float64Array.from({ length: 1 << 17 }, () => {
  const radius = Math.sqrt(-2 * Math.log(1 - Math.random()));
  return NOISE_LEVELS * radius * Math.cos(2 * Math.PI * Math.random());
});

const encode = createJpegEncoder({ widthPx: WIDTH, heightPx: HEIGHT, quality: 95, comment: '' });

/** For tests: a picture of something warm that moves slowly, as a real sensor would see it: every pixel of it is noisy. */
export function lampPicture(seconds: number): Buffer {
  const pixels = new Uint8Array(WIDTH * HEIGHT * 3);
  const offset = Math.floor(Math.random() * (NOISE.length - WIDTH * HEIGHT));
  const x0 = 80 + 12 * Math.sin(seconds / 3);
  const y0 = 60 + 10 * Math.cos(seconds / 4);
  for (let pixel = 0; pixel < WIDTH * HEIGHT; pixel++) {
    const x = pixel % WIDTH;
    const y = Math.floor(pixel / WIDTH);
    const blob = 70 * Math.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 300);
    const texture = 12 * Math.sin(x / 3) * Math.sin(y / 4);
    const level = 80 + texture + blob + (NOISE[offset + pixel] ?? 0);
    pixels.fill(Math.min(230, Math.max(20, Math.round(level))), pixel * 3, pixel * 3 + 3);
  }
  return Buffer.from(encode(pixels));
}

/**
 * For tests: sends lamps for as long as it may.
 * @param options - `still`: one picture of them again and again; looked at for every picture. `sent`: gets all of them
 */
export function filming(
  options: { headers?: Record<string, string>; still?: boolean; sent?: Buffer[] } = {},
): Act {
  return (response, stop) => {
    begin(response, options.headers);
    const startedMs = performance.now();
    const first = lampPicture(0);
    const timer = setInterval(() => {
      const jpeg = options.still === true ? first : lampPicture((performance.now() - startedMs) / 1000);
      options.sent?.push(jpeg);
      response.write(part(jpeg));
    }, PERIOD_MS);
    stop.addEventListener('abort', () => clearInterval(timer), { once: true });
  };
}
