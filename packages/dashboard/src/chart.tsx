import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { clock } from './figures.js';
import { useDark } from './motion.js';

const HEIGHT_PX = 92;
const INK = {
  dark: { line: '#ffb765', fill: 'rgb(255 170 90 / 14%)', quiet: '#b7a695', grid: 'rgb(255 220 190 / 8%)' },
  light: { line: '#b4510d', fill: 'rgb(214 110 30 / 14%)', quiet: '#6b5c50', grid: 'rgb(90 50 20 / 9%)' },
} as const;

interface ChartProps {
  readonly title: string;
  readonly what: string;
  readonly show: (value: number) => string;
  readonly atMs: readonly number[];
  readonly stepMs: number;
  readonly values: readonly (number | null)[];
}

/** One series over time, small; the same moment is pointed at in all of them. */
export function Chart({ title, what, show, atMs, stepMs, values }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const said = useRef<HTMLSpanElement>(null);
  const isDark = useDark();
  const latest = values.findLast((value) => value !== null) ?? undefined;
  const data = dataOf(atMs, stepMs, values);
  const now = useRef({ latest, show });
  now.current = { latest, show };

  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const tell = (text: string): void => {
      if (said.current !== null) said.current.textContent = text;
    };
    const made = new uPlot(
      options(element.clientWidth, INK[isDark ? 'dark' : 'light'], show, (chart) => {
        const at = chart.cursor.idx;
        const value = typeof at === 'number' ? chart.data[1]?.[at] : undefined;
        const time = typeof at === 'number' ? chart.data[0][at] : undefined;
        if (typeof value === 'number' && time !== undefined) tell(`${show(value)} at ${clock(time * 1_000)}`);
        else tell(now.current.latest === undefined ? '–' : show(now.current.latest));
      }),
      data,
      element,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
    };
  }, [isDark]);
  useEffect(() => plot.current?.setData(data), [atMs, values]);

  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong> <span class="quiet">{what}</span>
        <span class="value" ref={said}>
          {latest === undefined ? '–' : show(latest)}
        </span>
      </figcaption>
      <div
        ref={place}
        role="img"
        aria-label={`${title}, ${what}, over time; ${latest === undefined ? 'nothing yet' : show(latest)} now`}
      />
    </figure>
  );
}

/** Time in seconds, never backwards (a clock that was set back), and broken where the node was not there. */
function dataOf(
  atMs: readonly number[],
  stepMs: number,
  values: readonly (number | null)[],
): uPlot.AlignedData {
  const times: number[] = [];
  const shown: (number | null)[] = [];
  atMs.forEach((at, i) => {
    const before = times.at(-1);
    const seconds = at / 1_000;
    if (before !== undefined && seconds <= before) return;
    if (before !== undefined && seconds - before > (stepMs / 1_000) * 3) {
      times.push(before + stepMs / 1_000);
      shown.push(null);
    }
    times.push(seconds);
    shown.push(values[i] ?? null);
  });
  return [times, shown];
}

function options(
  width: number,
  ink: (typeof INK)[keyof typeof INK],
  show: (value: number) => string,
  onCursor: (chart: uPlot) => void,
): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: ink.quiet,
    font: '11px system-ui, sans-serif',
    grid: { stroke: ink.grid, width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT_PX,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'history' }, y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
    axes: [
      {
        ...axis,
        size: 20,
        gap: 2,
        space: 42,
        values: (_, times) => times.map((time) => clock(time * 1_000).slice(0, 5)),
      },
      {
        ...axis,
        size: 64,
        gap: 6,
        splits: (_, __, ___, most) => [0, roundBelow(most)],
        // The ground line is zero and needs no word.
        values: (_, splits) => splits.map((value) => (value === 0 ? '' : show(value))),
      },
    ],
    series: [{}, { stroke: ink.line, fill: ink.fill, width: 1.5, points: { show: false } }],
    hooks: { setCursor: [onCursor] },
  };
}

/** The largest of 1, 2 or 5 times a power of ten that is not above. */
function roundBelow(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  return ([5, 2, 1].find((factor) => factor * power <= most) ?? 1) * power;
}
