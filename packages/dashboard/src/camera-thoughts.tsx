import { useEffect, useState } from 'preact/hooks';
import type { CameraNumber, CameraPictureVerdict } from '../../lamplighter/src/wire/camera-door.js';
import type { SourceStatus } from '../../lamplighter/src/wire/status.js';
import { thoughtOf } from './camera-node.js';

const PERIOD_MS = 2_000;

const VERDICTS: Readonly<Record<CameraPictureVerdict, string>> = {
  unknown: 'It is too early to say.',
  healthy: 'It looks like a camera’s picture: moving, noisy and new.',
  degraded: 'Something is wrong with the picture. It is mixed all the same, and earns no credit.',
  'not-decodable': 'The pictures cannot be decoded. They are mixed all the same, and earn no credit.',
};

/** The numbers that say most about a picture; the dashboard has all. */
const NUMBERS: readonly (readonly [CameraNumber, string])[] = [
  ['noiseRatio', 'noise, of the least that a sensor has (1 is enough)'],
  ['livingShare', 'share of the picture that changes all the time'],
  ['meanLuma', 'brightness, of 255'],
  ['picturesPerSecond', 'pictures looked at, a second'],
];

/** What the node thinks of the pictures, from its status. */
export function NodeThoughts({ camera }: { camera: string }) {
  const [thought, setThought] = useState<SourceStatus>();
  useEffect(() => {
    let isOver = false;
    const look = async (): Promise<void> => {
      if (document.hidden) return;
      const found = await thoughtOf(camera);
      if (!isOver) setThought(found);
    };
    void look();
    const timer = setInterval(() => void look(), PERIOD_MS);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [camera]);
  return (
    <section aria-label="What the node thinks of it" class="thoughts">
      <h2>What the node thinks of it</h2>
      <p role="status" data-picture={String(thought?.details['picture'] ?? '')}>
        {thought === undefined ? 'The node has not said yet.' : sentenceOf(thought)}
      </p>
      {thought?.basis.simulated === true && <p>It counts as simulated: it earns no credit.</p>}
      {thought !== undefined && (
        <dl>
          {NUMBERS.map(([name, words]) => (
            <div key={name}>
              <dt>{words}</dt>
              <dd>{figure(thought.details[name])}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

function sentenceOf({ reason, details }: SourceStatus): string {
  const verdict = Object.entries(VERDICTS).find(([name]) => name === details['picture'])?.[1] ?? '';
  if (reason === undefined) return verdict;
  const hint = reason.hint === undefined ? '' : ` What to do: ${reason.hint}.`;
  return `${verdict} ${capital(reason.message)}.${hint}`.trim();
}

const figure = (value: unknown): string =>
  typeof value === 'number' ? String(Math.round(value * 100) / 100) : '–';

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
