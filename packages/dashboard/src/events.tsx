import { useState } from 'preact/hooks';
import type { NodeEvent } from '../../lamplighter/src/wire/event.js';
import { clock } from './figures.js';
import { Sign } from './sign.js';

/** More are not looked through by eye; the node's log has all of them. */
const SHOWN = 60;

/** What happened, and why; the newest first. */
export function Events({ events }: { events: readonly NodeEvent[] }) {
  const [onlyWarnings, setOnlyWarnings] = useState(false);
  const shown = events
    .filter(({ level }) => !onlyWarnings || level !== 'info')
    .slice(-SHOWN)
    .toReversed();
  return (
    <section aria-labelledby="events" class="events">
      <div class="heading">
        <h2 id="events">What happened</h2>
        <label>
          <input
            type="checkbox"
            checked={onlyWarnings}
            onChange={({ currentTarget }) => setOnlyWarnings(currentTarget.checked)}
          />
          only what to look at
        </label>
      </div>
      {shown.length === 0 && <p class="quiet">Nothing{onlyWarnings && ' to look at'} yet.</p>}
      <div class="log" tabIndex={0} role="region" aria-label="Events, the newest first">
        <ol>
          {shown.map((event) => (
            <li key={event.id} class={event.level}>
              <time class="quiet" dateTime={new Date(event.atMs).toISOString()}>
                {clock(event.atMs)}
              </time>
              <p>
                {event.level !== 'info' && <Sign light="fault" />} <span>{event.text}</span>
                {event.reason !== undefined && <Cause reason={event.reason} text={event.text} />}
              </p>
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}

function Cause({
  reason: { code, message, hint },
  text,
}: {
  reason: NonNullable<NodeEvent['reason']>;
  text: string;
}) {
  return (
    <span class="cause quiet">
      {!text.includes(message) && `${message}. `}
      {hint !== undefined && `Next: ${hint}. `}
      <code>{code}</code>
    </span>
  );
}
