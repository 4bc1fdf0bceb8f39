import { useEffect, useState } from 'preact/hooks';

/** Whether a media query holds, followed while the page is open. */
export function useMedia(query: string): boolean {
  const [holds, set] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const follow = () => set(media.matches);
    media.addEventListener('change', follow);
    follow();
    return () => media.removeEventListener('change', follow);
  }, [query]);
  return holds;
}

export const useCalm = (): boolean => useMedia('(prefers-reduced-motion: reduce)');
export const useDark = (): boolean => useMedia('(prefers-color-scheme: dark)');

/** Enough for wax and sparks; half of what a screen can. */
const FRAME_MS = 1_000 / 30;
/** After a pause everything goes on from where it was. */
const LONGEST_STEP_S = 0.1;

/**
 * Draws again and again while an element is on the screen and the page is not hidden.
 * @param frame - given the seconds since the frame before
 * @returns ends it
 */
export function animate(element: Element, frame: (seconds: number) => void): () => void {
  let isSeen = false;
  let last = 0;
  let handle = 0;
  const step = (nowMs: number): void => {
    handle = requestAnimationFrame(step);
    if (nowMs - last < FRAME_MS - 2) return;
    const seconds = Math.min(LONGEST_STEP_S, (nowMs - last) / 1_000);
    last = nowMs;
    frame(seconds);
  };
  const watch = new IntersectionObserver((entries) => {
    const now = entries.at(-1)?.isIntersecting === true;
    if (now && !isSeen) handle = requestAnimationFrame(step);
    if (!now) cancelAnimationFrame(handle);
    isSeen = now;
  });
  watch.observe(element);
  return () => {
    watch.disconnect();
    cancelAnimationFrame(handle);
  };
}
