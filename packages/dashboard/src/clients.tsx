import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import { bytes, timesRate, whole } from './figures.js';
import { beaconsServed } from './history.js';
import { detail, rateOf } from './rates.js';

/** Everything refused since the start, whoever refused it. */
function refusedIn({ listener, fleet, outlets }: NodeStatus): readonly (readonly [string, number])[] {
  const counts: (readonly [string, number])[] = [
    ...Object.entries(listener?.refused ?? {}),
    ...Object.entries(fleet?.peers.refused ?? {}).map(
      ([why, count]) => [`by policy: ${why}`, count] as const,
    ),
    ...outlets.map((outlet) => [`by ${outlet.name}`, detail(outlet, 'refused')] as const),
  ];
  return counts.filter(([, count]) => count > 0);
}

/** Who takes, by identity; what is refused. */
export function Clients({ recent, status }: { recent: readonly NodeStatus[]; status: NodeStatus }) {
  const refused = refusedIn(status);
  const top = status.fleet?.peers.top ?? [];
  const givesBeacons = status.outlets.some(({ kind }) => kind === 'beacon');
  const serves = status.outlets.some(({ kind }) => kind === 'beacon' || kind === 'pollen' || kind === 'feed');
  return (
    <section aria-labelledby="clients" class="clients">
      <h2 id="clients">Who takes</h2>
      {givesBeacons && (
        <p>
          <strong class="figure">{whole(beaconsServed(status))}</strong> beacons served
          <span class="quiet"> · {timesRate(rateOf(recent, beaconsServed))} now</span>
        </p>
      )}
      {top.length === 0 && (
        <p class="quiet">{serves ? 'Nobody has asked yet.' : 'This node serves no clients.'}</p>
      )}
      {top.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Clients by identity">
          <table>
            <thead>
              <tr>
                <th scope="col">Identity</th>
                <th scope="col" class="right">
                  Beacons
                </th>
                <th scope="col" class="right">
                  Fed
                </th>
                <th scope="col" class="right">
                  Open
                </th>
                <th scope="col" class="right">
                  Refused
                </th>
              </tr>
            </thead>
            <tbody>
              {top.map((peer) => (
                <tr key={`${peer.role}/${peer.name}`}>
                  <th scope="row">
                    {peer.name} <span class="quiet">{peer.role}</span>
                  </th>
                  <td class="right">{whole(peer.beacons)}</td>
                  <td class="right">{bytes(peer.feedBytes)}</td>
                  <td class="right">{whole(peer.connections)}</td>
                  <td class="right">{whole(peer.refused)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <h3>Refused</h3>
      {refused.length === 0 ? (
        <p class="quiet">Nothing was refused.</p>
      ) : (
        <ul class="plain-list">
          {refused.map(([why, count]) => (
            <li key={why}>
              <strong>{whole(count)}</strong> {why}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
