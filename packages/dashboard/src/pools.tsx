import { useEffect, useRef, useState } from 'preact/hooks';
import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import { bytes, whole } from './figures.js';
import { type Lamps, type LampsShade, lampsShade } from './lamps-shade.js';
import { animate, useCalm, useDark, useMedia } from './motion.js';
import { poolLevels, STEP_WORDS } from './pool-levels.js';

/** Pools that the improved schedule will have in use one day: in 4 years, at one tick a second. */
const IMPROVED_POOLS = 18;
/** So that the wall of lamps does not begin with one. */
const LEAST_PLACES = 8;

/** The pools of the accumulator as lamps: how high the wax stands is how far each is on its way to its next turn. */
export function Pools({ generator }: { generator: NodeStatus['generator'] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawn = useRef<LampsShade>(undefined);
  const lamps = useRef<Lamps>(undefined);
  const [hasShade, setHasShade] = useState(true);
  const isCalm = useCalm();
  const isDark = useDark();
  const isNarrow = useMedia('(max-width: 760px)');

  const levels = poolLevels(generator);
  const places =
    generator.schedule === 'improved'
      ? Math.min(IMPROVED_POOLS, Math.max(LEAST_PLACES, levels.length + 1))
      : levels.length;
  const columns = Math.ceil(places / Math.ceil(places / (isNarrow ? 10 : IMPROVED_POOLS)));
  lamps.current = { fills: levels.map(({ fill }) => fill), places, columns, isDark };

  useEffect(() => {
    const element = canvas.current;
    if (element === null) return undefined;
    const made = lampsShade(element);
    drawn.current = made;
    setHasShade(made !== undefined);
    return () => made?.close();
  }, []);
  useEffect(() => {
    const element = canvas.current;
    if (isCalm || element === null || drawn.current === undefined) return undefined;
    return animate(element, (seconds) => lamps.current && drawn.current?.draw(lamps.current, seconds));
  }, [isCalm, hasShade]);
  useEffect(() => {
    // Without motion: as things are, once a second.
    if (isCalm && lamps.current) drawn.current?.draw(lamps.current, 1);
  });

  const step = STEP_WORDS[generator.schedule] ?? 'step';
  const rows = Math.ceil(places / columns);
  return (
    <div
      class={`pools ${hasShade ? 'shaded' : 'plainly'}`}
      data-rows={rows}
      style={{ '--columns': columns, '--rows': rows }}
    >
      {hasShade && <canvas ref={canvas} aria-hidden="true" />}
      <ol aria-label="Pools in use">
        {levels.map(({ index, bytes: held, drains, fill, stepsLeft }) => (
          <li
            key={index}
            data-pool={index}
            data-bytes={held}
            data-drains={drains}
            data-fill={fill.toFixed(3)}
          >
            {!hasShade && (
              <span class="tube" aria-hidden="true">
                <i style={{ height: `${Math.round(fill * 100)}%` }} />
              </span>
            )}
            <span class="hidden">Pool </span>
            <span class="index">{index}</span>
            <span class="hidden">: </span>
            <span class="held">{brief(held)}</span>
            <span class="hidden">
              , drained {whole(drains)} times
              {stepsLeft !== undefined && `, its turn in ${whole(stepsLeft)} ${step}s`}
            </span>
          </li>
        ))}
        {!hasShade &&
          Array.from({ length: places - levels.length }, (_, i) => (
            <li key={`unlit-${i}`} class="unlit" aria-hidden="true">
              <span class="tube" />
            </li>
          ))}
      </ol>
      {!hasShade && <p class="note">Drawn plainly: this browser has no WebGL.</p>}
    </div>
  );
}

/** Bytes in as little room as a lamp has. */
const brief = (count: number): string =>
  bytes(count)
    .replace(/\s/, '')
    .replace(/B$/, '')
    .replace(/\.(\d)\d/, '.$1');

/** The same as a table: nothing of it is only in the picture. */
export function PoolTable({ generator }: { generator: NodeStatus['generator'] }) {
  const step = STEP_WORDS[generator.schedule] ?? 'step';
  return (
    <table>
      <caption>Pools</caption>
      <thead>
        <tr>
          <th scope="col">Pool</th>
          <th scope="col" class="right">
            Holds
          </th>
          <th scope="col" class="right">
            Drained
          </th>
          <th scope="col" class="right">
            Turn every
          </th>
          <th scope="col" class="right">
            Next in
          </th>
        </tr>
      </thead>
      <tbody>
        {poolLevels(generator).map(({ index, bytes: held, drains, periodSteps, stepsLeft }) => (
          <tr key={index} data-pool={index}>
            <th scope="row">{index}</th>
            <td class="right" data-value={held}>
              {bytes(held)}
            </td>
            <td class="right">{whole(drains)}</td>
            <td class="right">
              {whole(periodSteps)} {step}
              {periodSteps === 1 ? '' : 's'}
            </td>
            <td class="right">{stepsLeft === undefined ? '' : whole(stepsLeft)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
