import { useEffect, useRef, useState } from 'preact/hooks';
import { Announcer } from './announcer.js';
import { Chain } from './chain.js';
import { Clients } from './clients.js';
import { DrawBox } from './draw-box.js';
import { Events } from './events.js';
import { Flow } from './flow.js';
import { HistoryCharts } from './history-charts.js';
import { Live, type View } from './live.js';
import { Masthead } from './masthead.js';
import { RestPanel } from './rest-panel.js';
import { Wall } from './wall.js';

const NOTHING: View = { link: 'connecting', sinceMs: Date.now(), recent: [], events: [] };

/** The whole page of one node. */
export function Dashboard() {
  const [view, show] = useState(NOTHING);
  const live = useRef<Live>(undefined);
  useEffect(() => {
    const follower = new Live(show);
    live.current = follower;
    follower.start();
    return () => follower.stop();
  }, []);

  const status = view.recent.at(-1);
  const hasCamera = status?.sources.some(({ kind }) => kind === 'camera') === true;
  useEffect(() => {
    document.title = status === undefined ? 'Lamplighter' : `${status.name} · Lamplighter`;
  }, [status?.name]);

  return (
    <>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <Masthead view={view} onRetry={() => live.current?.retry()} />
      <Announcer view={view} />
      <main id="content" tabIndex={-1} data-link={view.link} class={view.link === 'live' ? '' : 'stale'}>
        {status !== undefined && (
          <>
            <div class={hasCamera ? 'lead' : ''}>
              {hasCamera && <Wall recent={view.recent} status={status} isLive={view.link === 'live'} />}
              <div class={hasCamera ? 'aside' : 'halves'}>
                <RestPanel rest={status.rest} />
                <DrawBox session={view.session} status={status} />
              </div>
            </div>
            <Flow recent={view.recent} status={status} />
            <HistoryCharts status={status} link={view.link} />
            <div class="three">
              <Chain recent={view.recent} status={status} />
              <Clients recent={view.recent} status={status} />
              <Events events={view.events} />
            </div>
          </>
        )}
      </main>
      <footer>
        <p>
          {status === undefined ? 'Lamplighter' : status.software} · nothing on this page is secret but what
          you draw
        </p>
        <nav aria-label="Elsewhere on this node">
          <a href="/camera">Film with this device</a>
          <a href="/v1/status">Status as JSON</a>
          <a href="/metrics">Metrics</a>
        </nav>
      </footer>
    </>
  );
}
