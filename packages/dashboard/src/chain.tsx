import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import { list, timesRate, whole } from './figures.js';
import { detail, rateOf, sourceNamed } from './rates.js';
import { Sign } from './sign.js';
import { type Light, SOURCE_WORDS } from './words.js';

interface Link {
  readonly name: string;
  readonly light: Light;
  readonly words: string;
}

/** Where this node stands between the lamps and the machines: whom it hears, and who hears it. */
export function Chain({ recent, status }: { recent: readonly NodeStatus[]; status: NodeStatus }) {
  const above = upstreams(recent, status);
  const below = downstreams(status);
  const own = status.sources
    .filter(({ kind }) => !isUpstream(kind) && kind !== 'camera')
    .map(({ name }) => name);
  return (
    <section aria-labelledby="chain" class="chain">
      <h2 id="chain">The chain</h2>
      <ol>
        <li>
          <h3>Hears</h3>
          {above.length === 0 && (
            <p class="quiet">Nothing upstream: it rests on what it sees and hears itself.</p>
          )}
          <Links links={above} />
          {status.sources.every(({ kind }) => kind !== 'camera') && above.length > 0 && (
            <p class="quiet small">No camera is at this node: the lamps are upstream.</p>
          )}
        </li>
        <li class="here">
          <h3>{status.name}</h3>
          <p class="quiet small">mixes in what only it can hear: {list(own)}</p>
        </li>
        <li>
          <h3>Is heard by</h3>
          {below.length === 0 && <p class="quiet">Nobody yet.</p>}
          <Links links={below} />
        </li>
      </ol>
    </section>
  );
}

function Links({ links }: { links: readonly Link[] }) {
  return (
    <ul>
      {links.map(({ name, light, words }) => (
        <li key={name}>
          <Sign light={light} /> <strong>{name}</strong> <span class="quiet">{words}</span>
        </li>
      ))}
    </ul>
  );
}

const isUpstream = (kind: string): boolean => kind === 'feed' || kind === 'beacon' || kind === 'pollen';

/** Nodes upstream, and the cameras, which are upstream of everything. */
function upstreams(recent: readonly NodeStatus[], status: NodeStatus): Link[] {
  return status.sources
    .filter(({ kind }) => isUpstream(kind) || kind === 'camera')
    .map((source) => {
      const [light, words] = SOURCE_WORDS[source.state];
      const { role, group } = source.details;
      const frames = rateOf(recent, (one) => detail(sourceNamed(one, source.name), 'frames'));
      const more = [
        typeof role === 'string' ? role : source.kind,
        words,
        ...(source.kind === 'feed' ? [`${timesRate(frames)} frames`] : []),
        ...(typeof group === 'string' ? [group] : []),
        ...(source.basis.simulated ? ['simulated'] : []),
      ];
      return { name: source.name, light, words: more.join(', ') };
    });
}

/** Who is fed now, as identities and, where these are not known, as a count; and who asks for beacons. */
function downstreams({ outlets, fleet }: NodeStatus): Link[] {
  const known = (fleet?.peers.top ?? []).map(({ name, role, connections, feedBytes, beacons }): Link => ({
    name,
    light: connections > 0 ? 'lit' : 'off',
    words: [
      role,
      ...(feedBytes > 0 ? ['is fed'] : []),
      ...(beacons > 0 ? [`took ${whole(beacons)} ${beacons === 1 ? 'beacon' : 'beacons'}`] : []),
      ...(connections > 0 ? [] : ['away']),
    ].join(', '),
  }));
  const fed = outlets.reduce((sum, outlet) => sum + detail(outlet, 'subscribers'), 0);
  const kernel = outlets
    .filter(({ kind }) => kind === 'kernel')
    .map((outlet): Link => ({
      name: 'kernel',
      light: 'lit',
      words: `this machine’s, written ${whole(detail(outlet, 'writes'))} times`,
    }));
  const rest = fed - known.filter(({ words }) => words.includes('is fed')).length;
  const others: Link[] = rest > 0 ? [{ name: whole(rest), light: 'lit', words: 'more on the feed' }] : [];
  return [...known, ...others, ...kernel];
}
