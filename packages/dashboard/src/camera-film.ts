import { type Filming, post } from './camera-node.js';

/** What is seen of the filming from outside. */
export interface Progress {
  /** - `paused`: nobody can see this page. `waiting`: the node does not take pictures now. `over`: it never will again. */
  readonly state: 'filming' | 'paused' | 'waiting' | 'over';
  readonly words: string;
  /** Pictures taken by the node since the start. */
  readonly pictures: number;
  readonly bytes: number;
  /** Over the last seconds. */
  readonly picturesPerSecond: number;
  readonly bytesPerSecond: number;
}

/** The node's health tests look at four a second. */
const PERIOD_MS = 200;
const QUALITY = 0.92;
const WINDOW_MS = 5_000;
/** The first wait after a refusal doubles with every one in a row up to this, ms. */
const LONGEST_WAIT_MS = 15_000;
/** Larger pictures are cut, not made smaller: an average of pixels has less noise than any of them. */
const MOST_WIDTH = 1_280;
const MOST_HEIGHT = 960;

/**
 * Films until the signal fires: takes a picture, shows it on the canvas, posts exactly what is shown as a JPEG, waits for the answer, and
 * only then takes the next.
 * @param video - playing
 * @param onProgress - told after every picture and every change
 */
export async function film(
  video: HTMLVideoElement,
  canvas: HTMLCanvasElement,
  options: {
    readonly filming: () => Filming;
    readonly onProgress: (progress: Progress) => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { filming, onProgress, signal } = options;
  const taken: { readonly atMs: number; readonly bytes: number }[] = [];
  let pictures = 0;
  let bytes = 0;
  let refusals = 0;

  function tell(state: Progress['state'], words: string): void {
    const nowMs = performance.now();
    while (taken[0] !== undefined && nowMs - taken[0].atMs > WINDOW_MS) taken.shift();
    const sinceMs = Math.max(1_000, nowMs - (taken[0]?.atMs ?? nowMs));
    const perSecond = (amount: number): number => (amount * 1_000) / sinceMs;
    onProgress({
      state,
      words,
      pictures,
      bytes,
      picturesPerSecond: perSecond(taken.length),
      bytesPerSecond: perSecond(taken.reduce((sum, one) => sum + one.bytes, 0)),
    });
  }

  while (!signal.aborted) {
    if (document.hidden) {
      tell('paused', 'Paused: this page is hidden. Filming goes on when you come back to it.');
      await shown(signal);
      continue;
    }
    const startedMs = performance.now();
    const picture = await takePicture(video, canvas);
    if (signal.aborted) return;
    if (picture === undefined) {
      tell('waiting', 'The camera gives no picture.');
      await pause(1_000, signal);
      continue;
    }
    const posted = await post(picture, filming());
    if (signal.aborted) return;
    if (posted.outcome === 'over') return tell('over', posted.words);
    if (posted.outcome === 'later') {
      tell('waiting', posted.words);
      const waitMs = Math.min(LONGEST_WAIT_MS, posted.waitMs * 2 ** refusals);
      refusals += 1;
      // Pages that lost one node shall not all come back in the same moment.
      await pause(waitMs * (0.75 + Math.random() / 2), signal);
      continue;
    }
    refusals = 0;
    pictures += 1;
    bytes += picture.size;
    taken.push({ atMs: performance.now(), bytes: picture.size });
    tell('filming', 'Filming.');
    await pause(PERIOD_MS - (performance.now() - startedMs), signal);
  }
}

/** Exactly what the canvas shows, as a JPEG; undefined while the camera has no picture yet. */
function takePicture(video: HTMLVideoElement, canvas: HTMLCanvasElement): Promise<Blob | undefined> {
  const width = Math.min(MOST_WIDTH, video.videoWidth);
  const height = Math.min(MOST_HEIGHT, video.videoHeight);
  const context = canvas.getContext('2d', { alpha: false });
  if (width === 0 || height === 0 || context === null) return Promise.resolve(undefined);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const left = Math.floor((video.videoWidth - width) / 2);
  const top = Math.floor((video.videoHeight - height) / 2);
  context.drawImage(video, left, top, width, height, 0, 0, width, height);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? undefined), 'image/jpeg', QUALITY));
}

function shown(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener('visibilitychange', look);
      signal.removeEventListener('abort', look);
      resolve();
    };
    document.addEventListener('visibilitychange', look);
    signal.addEventListener('abort', look);
    look();
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.max(0, ms));
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
