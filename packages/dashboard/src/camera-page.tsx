import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { film, type Progress } from './camera-film.js';
import { type Lens, mayFilm, NoLens, openLens, type OtherLens, otherLenses } from './camera-lens.js';
import { askIn, type Filming, type Welcome } from './camera-node.js';
import { NodeThoughts } from './camera-thoughts.js';

/** A number that no other page has, as the node's word for this one. */
const PAGE = Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('');

type Stage =
  | { readonly kind: 'asking' }
  | { readonly kind: 'idle'; readonly words: string }
  | { readonly kind: 'on'; readonly lens: Lens; readonly lenses: readonly OtherLens[] };

/** The page on which a person lends a camera to the node. */
function CameraPage() {
  const [welcome, setWelcome] = useState<Welcome>();
  useEffect(() => {
    if (mayFilm()) void askIn().then(setWelcome);
  }, []);
  return (
    <main>
      <header>
        <p>
          <a href="/">← Dashboard</a>
        </p>
        <h1>Film for this node</h1>
        <p>
          The noise of this device’s camera becomes one of the node’s sources. Point it at something that
          moves and is well lit: a lava lamp is best, a plant in the wind will do.
        </p>
      </header>
      {mayFilm() ? <Welcomed welcome={welcome} /> : <Insecure />}
    </main>
  );
}

function Insecure() {
  return (
    <section aria-label="Why this does not work here">
      <p role="alert" class="said fault">
        No browser gives a camera to this page, because it was not opened over a secure connection.
      </p>
      <p>
        Open it as <code>https://</code> with the node’s certificate, or on the machine of the node itself as{' '}
        <code>http://127.0.0.1</code>.
      </p>
    </section>
  );
}

function Welcomed({ welcome }: { welcome: Welcome | undefined }) {
  switch (welcome?.kind) {
    case undefined:
      return <p role="status">Asking the node …</p>;
    case 'unreachable':
      return <p role="alert">The node does not answer. Is it running? Then reload this page.</p>;
    case 'no-session':
      return (
        <section aria-label="Log in">
          <p role="status">You need to log in before you can send pictures, also on this machine.</p>
          <p>
            On the machine of the node, <code>lamplighter dashboard link --config FILE</code> prints a link
            that works once. Open it here, then come back to this page.
          </p>
        </section>
      );
    case 'no-camera':
      return (
        <section aria-label="Configure a camera">
          <p role="status">
            This node has no camera for a browser to film for. Add one to its configuration:
          </p>
          <pre>
            <code>{'sources:\n  - kind: camera\n    name: phone\n    url: "browser:"'}</code>
          </pre>
        </section>
      );
    case 'welcome':
      return <Studio csrf={welcome.csrf} cameras={welcome.cameras} />;
  }
}

function Studio({ csrf, cameras }: { csrf: string; cameras: readonly string[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [camera, setCamera] = useState(cameras[0] ?? '');
  const [isSimulated, setSimulated] = useState(false);
  const [stage, setStage] = useState<Stage>({
    kind: 'idle',
    words: 'Nothing is sent before you press Start.',
  });
  const [progress, setProgress] = useState<Progress>();
  const lens = stage.kind === 'on' ? stage.lens : undefined;
  const admitsSimulated = isSimulated || lens?.looksSimulated === true;
  // What is sent may change while it is sent.
  const filming = useRef<Filming>({ camera, csrf, page: PAGE, isSimulated: admitsSimulated });
  filming.current = { camera, csrf, page: PAGE, isSimulated: admitsSimulated };

  async function start(deviceId?: string): Promise<void> {
    lens?.close();
    setProgress(undefined);
    setStage({ kind: 'asking' });
    try {
      const opened = await openLens(deviceId);
      setStage({ kind: 'on', lens: opened, lenses: await otherLenses() });
    } catch (error) {
      setStage({
        kind: 'idle',
        words: error instanceof NoLens ? error.message : 'The camera could not be opened.',
      });
    }
  }

  function stop(words: string): void {
    lens?.close();
    setStage({ kind: 'idle', words });
  }

  useEffect(() => {
    const element = canvas.current;
    if (lens === undefined || element === null) return undefined;
    const stopping = new AbortController();
    const onGone = (): void => stop('The camera was taken away: unplugged, or no longer allowed.');
    lens.gone.addEventListener('abort', onGone);
    const awake = keepAwake();
    const onProgress = (now: Progress): void => {
      setProgress(now);
      if (now.state === 'over') stop(now.words);
    };
    void film(lens.video, element, { filming: () => filming.current, onProgress, signal: stopping.signal });
    return () => {
      lens.gone.removeEventListener('abort', onGone);
      stopping.abort();
      awake.end();
      lens.close();
    };
  }, [lens]);

  return (
    <>
      <section aria-label="Camera" class="studio">
        {cameras.length > 1 && (
          <label>
            Film for{' '}
            <select value={camera} onChange={(event) => setCamera(event.currentTarget.value)}>
              {cameras.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
        {stage.kind === 'on' && stage.lenses.length > 1 && (
          <label>
            With{' '}
            <select value={stage.lens.deviceId} onChange={(event) => void start(event.currentTarget.value)}>
              {stage.lenses.map(({ deviceId, label }) => (
                <option key={deviceId} value={deviceId}>
                  {label}
                </option>
              ))}
            </select>
          </label>
        )}
        <p class="buttons">
          {stage.kind === 'on' ? (
            <button type="button" onClick={() => stop('Stopped. The camera is off.')}>
              Stop
            </button>
          ) : (
            <button
              type="button"
              class="main"
              disabled={stage.kind === 'asking'}
              onClick={() => void start()}
            >
              Start
            </button>
          )}
        </p>
        <p
          role="status"
          class="said"
          data-state={stage.kind === 'on' ? (progress?.state ?? 'filming') : stage.kind}
        >
          {wordsOf(stage, progress)}
        </p>
        <figure class="sent" hidden={stage.kind !== 'on'}>
          <canvas ref={canvas} width={4} height={3} role="img" aria-label="The last picture that was sent" />
          <figcaption>
            This, and nothing else, is what is sent.
            {progress !== undefined && <span class="rates"> {ratesOf(progress)}</span>}
          </figcaption>
        </figure>
        <label class="choice">
          <input
            type="checkbox"
            checked={admitsSimulated}
            disabled={lens?.looksSimulated === true}
            onChange={(event) => setSimulated(event.currentTarget.checked)}
          />
          <span>
            What I film is simulated: a screen, a recording, a program.
            {lens?.looksSimulated === true && ` The name of this camera says so: ${lens.label}.`}
          </span>
        </label>
      </section>
      {stage.kind === 'on' && <NodeThoughts camera={camera} />}
      <section aria-label="What happens to the pictures" class="quiet">
        <h2>What happens to the pictures</h2>
        <ul>
          <li>Every byte of them is hashed into the node’s pools, and then forgotten.</li>
          <li>
            Whoever may open the dashboard sees a small gray preview, two seconds late, unless previews are
            switched off (<code>admin.preview: false</code>).
          </li>
          <li>
            Your browser has encoded them before they are sent, and whoever is logged in could send others.
            The node tests whether they look like a camera’s, and trusts them no further than that; its other
            sources are mixed in all the same.
          </li>
          <li>
            Pictures marked as simulated are mixed too, and earn no credit. That cannot be taken back while
            the node runs.
          </li>
          <li>Filming stops when you press Stop or close this page, and pauses while it is hidden.</li>
        </ul>
      </section>
    </>
  );
}

function wordsOf(stage: Stage, progress: Progress | undefined): string {
  switch (stage.kind) {
    case 'asking':
      return 'Your browser asks whether this page may use the camera.';
    case 'idle':
      return stage.words;
    case 'on':
      return progress?.words ?? 'The camera is on.';
  }
}

function ratesOf({ pictures, picturesPerSecond, bytesPerSecond }: Progress): string {
  const rate = picturesPerSecond.toFixed(1);
  return `${rate} pictures a second, ${Math.round(bytesPerSecond / 1_000)} kB/s, ${pictures} pictures so far.`;
}

/** Keeps the screen of a phone on, where the browser can: with the screen off it films nothing. */
function keepAwake(): { end(): void } {
  let isOver = false;
  let lock: WakeLockSentinel | undefined;
  const ask = async (): Promise<void> => {
    if (isOver || document.hidden || !('wakeLock' in navigator)) return;
    try {
      lock = await navigator.wakeLock.request('screen');
      if (isOver) await lock.release();
    } catch {
      // Low battery, or not allowed: then the person keeps it on.
    }
  };
  // The browser takes it away whenever the page is hidden.
  const again = (): void => void ask();
  document.addEventListener('visibilitychange', again);
  void ask();
  return {
    end() {
      isOver = true;
      document.removeEventListener('visibilitychange', again);
      void lock?.release();
    },
  };
}

const root = document.querySelector('#page');
if (root !== null) render(<CameraPage />, root);
