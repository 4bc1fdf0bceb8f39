import { useEffect, useRef, useState } from 'preact/hooks';
import { type CameraShade, cameraShade } from './camera-shade.js';
import { animate, useCalm } from './motion.js';

/** A preview is at least two seconds old and comes of pictures four times a second: more often shows no more. */
const PERIOD_MS = 1_000;

/**
 * A picture that is fetched anew every second, while somebody can see it.
 * @param plain - as it is, never in lamp light
 * @param shape - width over height
 */
export function CameraPicture({
  path,
  label,
  plain = false,
  shape,
  isLive,
}: {
  path: string;
  label: string;
  plain?: boolean;
  shape: number;
  isLive: boolean;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawn = useRef<CameraShade>(undefined);
  const [url, setUrl] = useState<string>();
  const [isThere, setThere] = useState<boolean>();
  const [hasShade, setHasShade] = useState(!plain);
  const isCalm = useCalm();

  useEffect(() => {
    const element = canvas.current;
    if (element === null || plain) return undefined;
    const made = cameraShade(element);
    drawn.current = made;
    setHasShade(made !== undefined);
    if (made === undefined) return undefined;
    // Who wants no motion gets one picture after the other, and no turning of one into the next.
    const end = animate(element, (seconds) => made.draw(isCalm ? 1 : seconds));
    return () => {
      end();
      made.close();
    };
  }, [plain]);

  useEffect(() => {
    if (!isLive) return undefined;
    const stopping = new AbortController();
    let shownUrl: string | undefined;

    async function look(): Promise<void> {
      if (document.hidden) return;
      const picture = await fetched(path, stopping.signal);
      if (stopping.signal.aborted || picture === 'unreachable') return;
      setThere(picture !== undefined);
      if (picture === undefined) return;
      const bitmap = drawn.current && (await createImageBitmap(picture));
      if (bitmap !== undefined) {
        drawn.current?.show(bitmap);
        return bitmap.close();
      }
      const next = URL.createObjectURL(picture);
      setUrl(next);
      if (shownUrl !== undefined) URL.revokeObjectURL(shownUrl);
      shownUrl = next;
    }

    void look();
    const timer = setInterval(() => void look(), PERIOD_MS);
    return () => {
      clearInterval(timer);
      stopping.abort();
      if (shownUrl !== undefined) URL.revokeObjectURL(shownUrl);
    };
  }, [path, isLive]);

  return (
    <div class="picture" data-there={String(isThere ?? false)} style={{ aspectRatio: String(shape) }}>
      {!plain && hasShade && <canvas ref={canvas} role="img" aria-label={label} />}
      {(plain || !hasShade) && url !== undefined && <img src={url} alt={label} />}
      {isThere === false && <p class="nothing">No picture now.</p>}
      {!plain && !hasShade && <p class="note">Drawn plainly: this browser has no WebGL.</p>}
    </div>
  );
}

/** @returns undefined when the node has none now */
async function fetched(path: string, signal: AbortSignal): Promise<Blob | undefined | 'unreachable'> {
  try {
    const response = await fetch(path, { signal, cache: 'no-store' });
    return response.status === 200 ? await response.blob() : undefined;
  } catch {
    return 'unreachable';
  }
}
