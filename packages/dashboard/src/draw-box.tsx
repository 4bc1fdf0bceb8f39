import { useEffect, useState } from 'preact/hooks';
import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import type { Session } from './decoders.js';
import { canMix, draw, type Draw, NotDrawn } from './draw.js';
import { DRAW_KINDS, type DrawChoice, faultOf, hex, shown } from './draw-value.js';

const KIND_WORDS: Readonly<Record<DrawChoice['kind'], string>> = {
  hex: '32 bytes, hex',
  base64: '32 bytes, base64',
  uuid: 'UUID',
  integer: 'Whole number',
  dice: 'Dice',
  coin: 'Coin',
};
/** Each try passes over a value in fewer than 2^44 cases. */
const TRIES = 3;

interface Drawn extends Draw {
  readonly text: string;
}

/** A fresh value that neither the node nor the browser chose alone. */
export function DrawBox({ session, status }: { session: Session | undefined; status: NodeStatus }) {
  const [choice, choose] = useState<DrawChoice>({ kind: 'hex', from: 1, to: 100, dice: 2 });
  const [drawn, setDrawn] = useState<Drawn>();
  const [said, say] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const csrf = session?.loggedIn === true ? session.csrf : undefined;
  const fault = faultOf(choice);
  // What was drawn as one thing is not shown as another.
  useEffect(() => setDrawn(undefined), [choice]);

  async function onDraw(): Promise<void> {
    if (csrf === undefined || fault !== undefined) return;
    setBusy(true);
    say(undefined);
    try {
      setDrawn(await drawnAs(csrf, choice));
    } catch (error) {
      setDrawn(undefined);
      say(error instanceof NotDrawn ? error.message : 'Something went wrong in this page.');
    }
    setBusy(false);
  }

  return (
    <section aria-labelledby="draw" class="draw">
      <h2 id="draw">Draw</h2>
      <p class="quiet small">
        {canMix()
          ? 'A fresh value, made of 32 bytes of the node’s and 32 of this browser’s: the browser first commits to its own by their hash, so that neither side can fit its part to the other’s, and the node never learns the result.'
          : 'For show: this page came over plain HTTP, where whoever stands in between can read the value or change it, and where the browser cannot mix in its own.'}
      </p>
      {csrf === undefined ? (
        <div class="locked">
          <p>Drawing needs a login, also on this machine. This prints a link that works once:</p>
          <pre tabIndex={0}>
            <code>lamplighter dashboard link --config {status.configuration.file}</code>
          </pre>
        </div>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void onDraw();
          }}
        >
          <fieldset class="kinds">
            <legend class="hidden">What to draw</legend>
            {DRAW_KINDS.map((kind) => (
              <label key={kind}>
                <input
                  type="radio"
                  name="kind"
                  value={kind}
                  checked={choice.kind === kind}
                  onChange={() => choose({ ...choice, kind })}
                />
                <span>{KIND_WORDS[kind]}</span>
              </label>
            ))}
          </fieldset>
          {choice.kind === 'integer' && (
            <p class="range">
              <Whole label="from" value={choice.from} onValue={(from) => choose({ ...choice, from })} />
              <Whole label="to" value={choice.to} onValue={(to) => choose({ ...choice, to })} />
            </p>
          )}
          {choice.kind === 'dice' && (
            <p class="range">
              <Whole
                label="how many"
                value={choice.dice}
                onValue={(dice) => choose({ ...choice, dice: Math.min(4, Math.max(1, dice)) })}
              />
            </p>
          )}
          <p>
            <button type="submit" class="main" disabled={isBusy || fault !== undefined}>
              Draw
            </button>{' '}
            <span class="fault">{fault ?? said}</span>
          </p>
          <output class={`drawn ${choice.kind}`} id="drawn">
            {drawn?.text}
            {drawn !== undefined && !canMix() && <span class="tag">for show</span>}
          </output>
          {drawn !== undefined && <Making drawn={drawn} />}
        </form>
      )}
    </section>
  );
}

async function drawnAs(csrf: string, choice: DrawChoice): Promise<Drawn> {
  for (let i = 0; i < TRIES; i++) {
    const made = await draw(csrf);
    const text = shown(made.value, choice);
    if (text !== undefined) return { ...made, text };
  }
  throw new NotDrawn('Every value had to be passed over; draw again.');
}

function Whole({
  label,
  value,
  onValue,
}: {
  label: string;
  value: number;
  onValue: (value: number) => void;
}) {
  return (
    <label>
      {label}{' '}
      <input
        type="number"
        step="1"
        value={Number.isNaN(value) ? '' : value}
        onInput={({ currentTarget }) => onValue(currentTarget.valueAsNumber)}
      />
    </label>
  );
}

/** All that goes into the value, for who wants to do it again. */
function Making({ drawn: { server, browser, value } }: { drawn: Draw }) {
  return (
    <details class="making">
      <summary>How it was made</summary>
      <dl>
        <dt>The node’s 32 bytes</dt>
        <dd data-part="server">{hex(server)}</dd>
        {browser !== undefined && (
          <>
            <dt>This browser’s 32 bytes</dt>
            <dd data-part="browser">{hex(browser.own)}</dd>
            <dt>What the node was told before: their SHA-256</dt>
            <dd data-part="commitment">{browser.commitment}</dd>
          </>
        )}
        <dt>
          {browser === undefined
            ? 'The value'
            : 'The value: HMAC-SHA-256, key the node’s, message the browser’s'}
        </dt>
        <dd data-part="value">{hex(value)}</dd>
      </dl>
    </details>
  );
}
