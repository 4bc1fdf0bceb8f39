import { useEffect, useState } from 'preact/hooks';
import { clock, duration } from './figures.js';
import type { View } from './live.js';
import { Sign } from './sign.js';
import { headlineOf } from './words.js';

/** Which node this is, how it is, and what somebody should look at. */
export function Masthead({ view, onRetry }: { view: View; onRetry: () => void }) {
  const status = view.recent.at(-1);
  const { light, title, sentence } = headlineOf(view);
  const isLive = view.link === 'live';
  return (
    <header class="masthead">
      <div class="brand">
        <img src="/assets/lamp.svg" width="28" height="28" alt="" />
        <span>Lamplighter</span>
        {status !== undefined && <span class="quiet uptime">up {duration(status.uptimeMs)}</span>}
      </div>
      <h1>
        <span class="node">{status?.name ?? 'This node'}</span>{' '}
        <span class="state">
          <Sign light={light} /> {title}
        </span>
      </h1>
      <p class="sentence">{sentence}</p>
      {isLive && status !== undefined && status.reasons.length > 0 && (
        <ul class="reasons">
          {status.reasons.map(({ code, message, hint }) => (
            <li key={`${code} ${message}`}>
              <strong>{message}</strong>
              {hint !== undefined && <> · {hint}</>} <code class="quiet">{code}</code>
            </li>
          ))}
        </ul>
      )}
      {(view.link === 'lost' || view.link === 'stopped') && (
        <p class="retry">
          Last heard at {clock(view.sinceMs)}. <Countdown toMs={view.retryAtMs} />{' '}
          <button type="button" onClick={onRetry}>
            Try now
          </button>
        </p>
      )}
      {view.link === 'strange' && (
        <p class="retry">
          <button type="button" onClick={() => location.reload()}>
            Reload
          </button>
        </p>
      )}
    </header>
  );
}

function Countdown({ toMs }: { toMs: number | undefined }) {
  const [nowMs, tick] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  const left = Math.ceil(((toMs ?? nowMs) - nowMs) / 1_000);
  return <>{left > 0 ? `It is tried again in ${left} s.` : 'It is tried again now.'}</>;
}
