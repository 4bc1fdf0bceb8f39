import { useEffect, useRef } from 'preact/hooks';
import type { NodeStatus, OutletStatus, SourceStatus } from '../../lamplighter/src/wire/status.js';
import { ago, byteRate, bytes, timesRate, whole } from './figures.js';
import { waysIn } from './flow-ways.js';
import { animate, useCalm, useDark } from './motion.js';
import { drainedBetween, isWaiting } from './pool-levels.js';
import { Pools, PoolTable } from './pools.js';
import { outletNamed, rateOf, sourceNamed } from './rates.js';
import { Sign } from './sign.js';
import { MAX_PER_SECOND, Sparks } from './sparks.js';
import { OUTLET_WORDS, SOURCE_WORDS } from './words.js';

/** Sparks of one drained pool. */
const DRAIN_SPARKS = 2;
const INK = {
  dark: { line: 'rgb(255 190 120 / 17%)', glow: '#ffb765' },
  light: { line: 'rgb(150 80 20 / 20%)', glow: '#c8560f' },
} as const;

/** From what is heard to what is given: sources, pools, generator, outlets, as one picture with true rates. */
export function Flow({ recent, status }: { recent: readonly NodeStatus[]; status: NodeStatus }) {
  const stage = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const sparks = useRef<Sparks>(undefined);
  const isCalm = useCalm();
  const ink = INK[useDark() ? 'dark' : 'light'];
  const rates = ratesOf(recent, status);

  useEffect(() => {
    if (canvas.current === null) return undefined;
    const made = new Sparks(canvas.current);
    sparks.current = made;
    return isCalm ? undefined : animate(canvas.current, (seconds) => made.draw(seconds, ink));
  }, [isCalm, ink]);

  useEffect(() => {
    const made = sparks.current;
    const element = stage.current;
    if (made === undefined || element === null) return;
    made.ways = waysIn(element, rates);
    const before = recent.at(-2);
    if (before !== undefined) {
      for (const pool of drainedBetween(before.generator, status.generator))
        made.burst(`pool/${pool}`, DRAIN_SPARKS);
    }
    if (isCalm) made.draw(0, ink);
  }, [status, isCalm, ink]);

  return (
    <section aria-labelledby="flow" class="flow">
      <h2 id="flow">The flow</h2>
      <div class="stage" ref={stage}>
        <canvas ref={canvas} aria-hidden="true" />
        <ul class="parts sources" aria-label="Sources">
          {status.sources.map((source) => (
            <Source key={source.name} source={source} recent={recent} />
          ))}
        </ul>
        <div class="middle">
          <Pools generator={status.generator} />
        </div>
        <Generator status={status} recent={recent} />
        <ul class="parts outlets" aria-label="Outlets">
          {status.outlets.map((outlet) => (
            <Outlet key={outlet.name} outlet={outlet} recent={recent} />
          ))}
          {status.outlets.length === 0 && <li class="quiet">No outlet is configured.</li>}
        </ul>
      </div>
      <PoolWords recent={recent} status={status} />
      <p class="quiet small">
        A spark on the way in is one event, on the way out 64 bytes; at most {MAX_PER_SECOND} a second are
        drawn of one part. Which pool an event goes to is secret, and is not drawn.
      </p>
      <details>
        <summary>The same as tables</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label="The flow as tables">
          <SourceTable recent={recent} status={status} />
          <PoolTable generator={status.generator} />
          <OutletTable recent={recent} status={status} />
        </div>
      </details>
    </section>
  );
}

function PoolWords({ recent, status: { generator } }: { recent: readonly NodeStatus[]; status: NodeStatus }) {
  const [first] = recent;
  const unlit = generator.tick === undefined ? '' : '; an unlit one joins when it can be of use';
  return (
    <p class="quiet small">
      {whole(generator.pools.length)} pools in use{unlit}. A lamp fills until its turn comes, then drains.
      {first !== undefined && isWaiting(first.generator, generator) && (
        <strong> Turns are due, and wait until somebody asks for output.</strong>
      )}
    </p>
  );
}

function Source({ source, recent }: { source: SourceStatus; recent: readonly NodeStatus[] }) {
  const { name, kind, state, required } = source;
  const [light, words] = SOURCE_WORDS[state];
  return (
    <li data-part={`source/${name}`} class={light}>
      <span class="name">
        <Sign light={light} /> {name}
      </span>
      <span class="rate">{byteRate(rateOf(recent, (one) => sourceNamed(one, name)?.bytes))}</span>
      <span class="quiet what">
        {kind === name ? '' : `${kind}, `}
        {words}
        {required && ', required'}
      </span>
      <span class="quiet rate">
        {timesRate(rateOf(recent, (one) => sourceNamed(one, name)?.events))} events
      </span>
    </li>
  );
}

function Outlet({ outlet, recent }: { outlet: OutletStatus; recent: readonly NodeStatus[] }) {
  const { name, kind, state, bytes: given } = outlet;
  const [light, words] = OUTLET_WORDS[state];
  return (
    <li data-part={`outlet/${name}`} class={light}>
      <span class="name">
        <Sign light={light} /> {name}
      </span>
      <span class="rate">{byteRate(rateOf(recent, (one) => outletNamed(one, name)?.bytes))}</span>
      <span class="quiet what">
        {kind === name ? '' : `${kind}, `}
        {words}
      </span>
      <span class="quiet rate">{bytes(given)} in all</span>
    </li>
  );
}

function Generator({ status, recent }: { status: NodeStatus; recent: readonly NodeStatus[] }) {
  const { seeded, reseeds, directReseeds, lastReseed, schedule } = status.generator;
  const sinceMs = useSinceReseed(reseeds, lastReseed);
  return (
    <div class={`generator ${seeded ? 'lit' : 'unlit'}`} data-part="generator">
      {/* Another key at every reseed: the glow begins anew. */}
      <span class="orb" key={reseeds} aria-hidden="true" />
      <h3>Generator</h3>
      <p>
        {seeded ? (sinceMs === undefined ? 'seeded' : `reseeded ${ago(sinceMs)}`) : 'not seeded yet'}
        <span class="quiet small">
          {whole(reseeds)} reseeds, {timesRate(rateOf(recent, (one) => one.generator.reseeds))}
          <br />
          {whole(directReseeds)} direct · {schedule}
          {status.generator.tick !== undefined && `, tick ${whole(status.generator.tick)}`}
        </span>
      </p>
    </div>
  );
}

/** How long ago the last reseed was; by this page's own clock when it saw it, since the node's may be another. */
function useSinceReseed(reseeds: number, lastReseed: string | undefined): number | undefined {
  const seen = useRef<{ reseeds: number; atMs?: number }>({ reseeds });
  if (seen.current.reseeds !== reseeds) seen.current = { reseeds, atMs: performance.now() };
  const { atMs } = seen.current;
  if (atMs !== undefined) return performance.now() - atMs;
  return lastReseed === undefined ? undefined : Date.now() - Date.parse(lastReseed);
}

/** What passes each part, sparks a second: events in, 64 bytes out. */
function ratesOf(recent: readonly NodeStatus[], status: NodeStatus): ReadonlyMap<string, number> {
  return new Map([
    ...status.sources.map(
      ({ name }) => [`source/${name}`, rateOf(recent, (one) => sourceNamed(one, name)?.events)] as const,
    ),
    ...status.outlets.map(
      ({ name }) => [`outlet/${name}`, rateOf(recent, (one) => outletNamed(one, name)?.bytes) / 64] as const,
    ),
  ]);
}

function SourceTable({ recent, status }: { recent: readonly NodeStatus[]; status: NodeStatus }) {
  return (
    <table>
      <caption>Sources</caption>
      <thead>
        <tr>
          <th scope="col">Source</th>
          <th scope="col">State</th>
          <th scope="col" class="right">
            Bytes
          </th>
          <th scope="col" class="right">
            Events
          </th>
          <th scope="col" class="right">
            Heard now
          </th>
        </tr>
      </thead>
      <tbody>
        {status.sources.map(({ name, kind, state, reason, bytes: heard, events }) => (
          <tr key={name}>
            <th scope="row">
              {name} {kind !== name && <span class="quiet">{kind}</span>}
            </th>
            <td>
              {SOURCE_WORDS[state][1]}
              {reason !== undefined && `: ${reason.message}`}
            </td>
            <td class="right">{bytes(heard)}</td>
            <td class="right">{whole(events)}</td>
            <td class="right">{byteRate(rateOf(recent, (one) => sourceNamed(one, name)?.bytes))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function OutletTable({ recent, status }: { recent: readonly NodeStatus[]; status: NodeStatus }) {
  return (
    <table>
      <caption>Outlets</caption>
      <thead>
        <tr>
          <th scope="col">Outlet</th>
          <th scope="col">State</th>
          <th scope="col" class="right">
            Given
          </th>
          <th scope="col" class="right">
            Now
          </th>
        </tr>
      </thead>
      <tbody>
        {status.outlets.map(({ name, kind, state, reason, bytes: given }) => (
          <tr key={name}>
            <th scope="row">
              {name} {kind !== name && <span class="quiet">{kind}</span>}
            </th>
            <td>
              {OUTLET_WORDS[state][1]}
              {reason !== undefined && `: ${reason.message}`}
            </td>
            <td class="right">{bytes(given)}</td>
            <td class="right">{byteRate(rateOf(recent, (one) => outletNamed(one, name)?.bytes))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
