import { useEffect, useRef, useState } from 'preact/hooks';
import type { HistoryReport, HistorySpan } from '../../lamplighter/src/wire/history.js';
import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import { Chart } from './chart.js';
import { byteRate, bytes, timesRate } from './figures.js';
import { extended, fetchHistory } from './history.js';
import type { Link } from './live.js';

/** One small picture of one series. */
interface Plot {
  readonly series: string;
  readonly title: string;
  readonly what: string;
  readonly show: (value: number) => string;
}

/** Beyond these, clients are in the table. */
const SHOWN_CLIENTS = 6;
const SPAN_WORDS: Readonly<Record<HistorySpan, string>> = { hour: 'the last hour', day: 'the last day' };

/** What was heard, given and refused over time; begun with what the node remembers, then live. */
export function HistoryCharts({ status, link }: { status: NodeStatus; link: Link }) {
  const [span, setSpan] = useState<HistorySpan>('hour');
  const history = useHistory(status, span, link);
  const plots = history === undefined ? [] : plotsOf(status, history);
  return (
    <section aria-labelledby="history" class="history">
      <div class="heading">
        <h2 id="history">Over time</h2>
        <fieldset class="switch">
          <legend class="hidden">How far back</legend>
          {(['hour', 'day'] as const).map((one) => (
            <label key={one}>
              <input type="radio" name="span" checked={span === one} onChange={() => setSpan(one)} />
              <span>{SPAN_WORDS[one]}</span>
            </label>
          ))}
        </fieldset>
      </div>
      {history === undefined && <p class="quiet">Waiting for what the node remembers …</p>}
      {history !== undefined && (
        <>
          <div class="charts">
            {plots.map(({ series, title, what, show }) => (
              <Chart
                key={series}
                title={title}
                what={what}
                show={show}
                atMs={history.atMs}
                stepMs={history.stepMs}
                values={history.series[series] ?? []}
              />
            ))}
          </div>
          <details>
            <summary>The same as a table</summary>
            <div class="scroll" tabIndex={0} role="region" aria-label="Series as a table">
              <SeriesTable plots={plots} history={history} />
            </div>
          </details>
        </>
      )}
    </section>
  );
}

/** Fetched when the span changes or the connection is there again; samples are added as statuses come. */
function useHistory(status: NodeStatus, span: HistorySpan, link: Link): HistoryReport | undefined {
  const [history, setHistory] = useState<HistoryReport>();
  const since = useRef<readonly NodeStatus[]>([]);
  const isLive = link === 'live';

  useEffect(() => {
    if (!isLive) return undefined;
    const stopping = new AbortController();
    void fetchHistory(span, stopping.signal).then((fetched) => {
      if (stopping.signal.aborted || fetched === undefined) return;
      since.current = since.current.slice(-1);
      setHistory(fetched);
    });
    return () => stopping.abort();
  }, [span, isLive, status.pid]);

  useEffect(() => {
    const [first] = since.current;
    // Only the ends of the time are looked at.
    since.current = first === undefined || first.pid !== status.pid ? [status] : [first, status];
    if (history === undefined || !isLive) return;
    const next = extended(history, span, since.current);
    if (next === history) return;
    setHistory(next);
    since.current = [status];
  }, [status]);
  return history;
}

function plotsOf(status: NodeStatus, history: HistoryReport): Plot[] {
  const clients = Object.keys(history.series)
    .filter((name) => name.startsWith('clients/'))
    .toSorted((a, b) => total(history, b) - total(history, a))
    .slice(0, SHOWN_CLIENTS);
  return [
    ...status.sources.map(({ name }) => ({
      series: `source/${name}/bytes`,
      title: name,
      what: 'heard',
      show: byteRate,
    })),
    ...status.outlets.map(({ name }) => ({
      series: `outlet/${name}/bytes`,
      title: name,
      what: 'given',
      show: byteRate,
    })),
    { series: 'beacons', title: 'Beacons', what: 'served', show: timesRate },
    ...clients.map((series) => ({
      series,
      title: series.split('/').slice(2).join('/'),
      what: `${series.split('/')[1] ?? ''}, beacons`,
      show: timesRate,
    })),
    { series: 'refused', title: 'Refused', what: 'errors of all kinds', show: timesRate },
    { series: 'reseeds', title: 'Reseeds', what: 'of the generator', show: timesRate },
    { series: 'memory', title: 'Memory', what: 'resident', show: bytes },
  ].filter(({ series }) => series in history.series);
}

const present = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);
const total = ({ series }: HistoryReport, name: string): number =>
  present(series[name] ?? []).reduce((sum, value) => sum + value, 0);

function SeriesTable({ plots, history }: { plots: readonly Plot[]; history: HistoryReport }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Series</th>
          <th scope="col" class="right">
            Now
          </th>
          <th scope="col" class="right">
            Mean
          </th>
          <th scope="col" class="right">
            Least
          </th>
          <th scope="col" class="right">
            Most
          </th>
        </tr>
      </thead>
      <tbody>
        {plots.map(({ series, title, what, show }) => {
          const values = present(history.series[series] ?? []);
          const said = (value: number) => (values.length === 0 ? '–' : show(value));
          return (
            <tr key={series}>
              <th scope="row">
                {title} <span class="quiet">{what}</span>
              </th>
              <td class="right">{said(values.at(-1) ?? 0)}</td>
              <td class="right">{said(values.reduce((sum, value) => sum + value, 0) / values.length)}</td>
              <td class="right">{said(Math.min(...values))}</td>
              <td class="right">{said(Math.max(...values))}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
