import { useEffect, useRef, useState } from 'preact/hooks';
import type { View } from './live.js';
import { headlineOf } from './words.js';

/** What changes within this time is said once, as it is at its end. */
const SETTLE_MS = 1_500;

/** Tells a screen reader when the node's state or a reason changes, and nothing else: numbers that move are not news. */
export function Announcer({ view }: { view: View }) {
  const { title } = headlineOf(view);
  const reasons = view.link === 'live' ? (view.recent.at(-1)?.reasons ?? []) : [];
  const news = [title, ...reasons.map(({ message }) => message)].join('. ');
  const [said, say] = useState('');
  const first = useRef(true);
  useEffect(() => {
    // What is there when the page opens is read with the page.
    if (first.current && view.link === 'connecting') return undefined;
    const timer = setTimeout(() => {
      if (!first.current) say(news);
      first.current = false;
    }, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [news]);
  return (
    <p class="hidden" role="status" id="announcer">
      {said}
    </p>
  );
}
