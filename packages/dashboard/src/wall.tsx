import type { NodeStatus, SourceStatus } from '../../lamplighter/src/wire/status.js';
import { CameraPicture } from './camera-picture.js';
import { byteRate, timesRate } from './figures.js';
import { NoiseLegend } from './noise-key.js';
import { detail, rateOf, sourceNamed } from './rates.js';
import { Sign } from './sign.js';
import { PICTURE_WORDS, SOURCE_WORDS } from './words.js';

interface WallProps {
  readonly recent: readonly NodeStatus[];
  readonly status: NodeStatus;
  readonly isLive: boolean;
}

/** What the cameras of this node see, and what their health tests say of it. For a node that has some. */
export function Wall({ recent, status, isLive }: WallProps) {
  const cameras = status.sources.filter(({ kind }) => kind === 'camera');
  return (
    <section aria-labelledby="wall" class="wall">
      <h2 id="wall">The wall</h2>
      <div class="cameras">
        {cameras.map((camera) => (
          <Camera key={camera.name} camera={camera} recent={recent} isLive={isLive} />
        ))}
      </div>
    </section>
  );
}

function Camera({
  camera,
  recent,
  isLive,
}: {
  camera: SourceStatus;
  recent: WallProps['recent'];
  isLive: boolean;
}) {
  const { name, state, reason, basis, details } = camera;
  const path = `/v1/cameras/${encodeURIComponent(name)}`;
  const [light] = SOURCE_WORDS[state];
  const heard = rateOf(recent, (status) => sourceNamed(status, name)?.bytes);
  // Of what is not heard there is nothing to see, and its numbers say nothing.
  const isSeen = state === 'ok' || state === 'degraded';
  const history = String(details['history'] ?? '');
  return (
    <article class="camera" aria-labelledby={`camera-${name}`} data-camera={name}>
      {isSeen && (
        <div class="views">
          <CameraPicture
            path={`${path}/preview`}
            label={`What ${name} sees, a few seconds ago`}
            shape={shapeOf(camera)}
            isLive={isLive}
          />
          <figure class="noise">
            <CameraPicture
              path={`${path}/noise`}
              label={`How much each place of ${name}’s picture moves by itself`}
              plain
              shape={shapeOf(camera)}
              isLive={isLive}
            />
            <NoiseLegend />
          </figure>
        </div>
      )}
      <div class="verdict">
        <h3 id={`camera-${name}`}>
          {name} {basis.simulated && <span class="tag">simulated: earns no credit</span>}
        </h3>
        <p class={`said ${light}`}>
          <Sign light={light} /> <strong>{verdictOf(camera)}</strong>{' '}
          {reason?.hint !== undefined && `Next: ${reason.hint}.`}
        </p>
        {history !== '' && <p class="quiet small">Lately: {history}.</p>}
        {isSeen && <Numbers camera={camera} heard={heard} />}
        {isSeen && (
          <p class="quiet small">
            The picture is small, averaged and a few seconds old: never the bytes that are hashed. It is gray;
            the light is ours.
          </p>
        )}
      </div>
    </article>
  );
}

/** Width over height: the preview itself is 4 : 3, whatever the camera's pictures are. */
function shapeOf(camera: SourceStatus): number {
  const [width, height] = [detail(camera, 'width'), detail(camera, 'height')];
  return width > 0 && height > 0 ? width / height : 4 / 3;
}

function verdictOf({ state, reason, details }: SourceStatus): string {
  if (reason !== undefined) return sentence(reason.message);
  if (state !== 'ok') return sentence(SOURCE_WORDS[state][1]);
  return PICTURE_WORDS[String(details['picture'])] ?? 'It is heard.';
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** What the verdict rests on, each number with what it is measured against. */
function Numbers({ camera, heard }: { camera: SourceStatus; heard: number }) {
  const number = (name: string) => detail(camera, name);
  const rows: readonly (readonly [string, string, string])[] = [
    [
      'Heard',
      byteRate(heard),
      `every byte of ${timesRate(number('framesPerSecond'))} frames; ${timesRate(number('picturesPerSecond'))} are looked at, ${timesRate(number('learnedPicturesPerSecond'))} is usual`,
    ],
    [
      'Brightness',
      `${Math.round(number('meanLuma'))} of 255`,
      `${percent(number('clippedHighShare'))} at full white`,
    ],
    ['Alive', percent(number('livingShare')), 'of its parts change all the time'],
    [
      'Noise',
      `${number('residualRms').toFixed(1)} levels`,
      `${number('noiseRatio').toFixed(1)} × the least of a sensor`,
    ],
    ['Worth', `${number('noiseBits').toFixed(2)} bits`, 'of min-entropy in one low-order bit'],
    ['Seen before', number('replayBestZ').toFixed(2), 'likeness to earlier pictures; by chance below 1.2'],
  ];
  return (
    <dl class="numbers">
      {rows.map(([term, value, meaning]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>
            <strong>{value}</strong>
            <span class="quiet">{meaning}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;
