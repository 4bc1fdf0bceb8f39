import { useState } from 'preact/hooks';
import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import { clock } from './figures.js';
import { restAnswer } from './rest-answer.js';

/** What the output rests on; a person strikes out what somebody may know, and reads what is left. */
export function RestPanel({ rest }: { rest: NodeStatus['rest'] }) {
  const [known, setKnown] = useState<ReadonlySet<string>>(new Set());
  const { holds, sentence } = restAnswer(rest, known);

  function strike(name: string, isKnown: boolean): void {
    const next = new Set(known);
    if (isKnown) next.add(name);
    else next.delete(name);
    setKnown(next);
  }

  return (
    <section aria-labelledby="rest" class="rest">
      <h2 id="rest">What it rests on</h2>
      <p class={`answer ${holds ? 'holds' : 'falls'}`} role="status" id="rest-answer">
        {sentence}
      </p>
      {rest.length > 0 && (
        <fieldset>
          <legend>Strike out what somebody may know completely:</legend>
          <ul>
            {rest.map(({ name, kind, reachedAt, isSecret }) => (
              <li key={name}>
                <label class={!isSecret || known.has(name) ? 'struck' : ''}>
                  <input
                    type="checkbox"
                    checked={!isSecret || known.has(name)}
                    disabled={!isSecret}
                    onChange={({ currentTarget }) => strike(name, currentTarget.checked)}
                  />
                  <span class="name">{name}</span>
                  {kind !== name && <span class="quiet">{kind}</span>}
                  <span class="quiet when">
                    {isSecret
                      ? `last reached ${clock(Date.parse(reachedAt))}`
                      : 'no secret: counts for nothing'}
                  </span>
                </label>
              </li>
            ))}
          </ul>
        </fieldset>
      )}
      <p class="quiet small">
        These reached the generator since the node started. One that stays unknown is enough, whatever the
        others say.
      </p>
    </section>
  );
}
