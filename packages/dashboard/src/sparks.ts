/** A way for sparks: a cubic curve in the pixels of the picture. */
export interface Way {
  readonly id: string;
  readonly points: readonly (readonly [number, number])[];
  /** What passes here, sparks a second; undefined: sparks are only sent by {@link Sparks.burst}, and no line is drawn. */
  readonly perSecond: number | undefined;
}

interface Spark {
  readonly way: string;
  share: number;
}

/** Of one way; more would only be a line. */
export const MAX_PER_SECOND = 12;
const PIXELS_PER_SECOND = 110;
/** However fast things go. */
const MAX_SPARKS = 400;
const RADIUS_PX = 5;

/** Lines between the parts of a flow, and sparks that run along them: one for each event, or 64 bytes, up to a bound. */
export class Sparks {
  readonly #canvas: HTMLCanvasElement;
  #ways: readonly Way[] = [];
  #sparks: Spark[] = [];
  readonly #owed = new Map<string, number>();

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
  }

  /** The ways as they are now; sparks on one that is gone go with it. */
  set ways(ways: readonly Way[]) {
    this.#ways = ways;
  }

  /** Sends some along a way at once. */
  burst(way: string, count: number): void {
    for (let i = 0; i < count; i++) this.#sparks.push({ way, share: -0.06 * i });
  }

  /** @param seconds - since the frame before; 0 draws the lines alone */
  draw(seconds: number, { line, glow }: { line: string; glow: string }): void {
    const context = this.#sized();
    if (context === null) return;
    context.clearRect(0, 0, this.#canvas.clientWidth, this.#canvas.clientHeight);
    const lengths = new Map(this.#ways.map((way) => [way.id, lengthOf(way.points)]));
    context.strokeStyle = line;
    for (const { points, perSecond } of this.#ways) {
      if (perSecond === undefined) continue;
      context.lineWidth = perSecond > 0 ? Math.min(3, 1 + Math.log10(1 + perSecond)) : 1;
      context.setLineDash(perSecond > 0 ? [] : [2, 5]);
      context.beginPath();
      points.forEach(([x, y], i) => (i === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
      context.stroke();
    }
    context.setLineDash([]);
    if (seconds === 0) return;

    for (const { id, perSecond = 0 } of this.#ways) {
      const owed = (this.#owed.get(id) ?? Math.random()) + Math.min(MAX_PER_SECOND, perSecond) * seconds;
      this.#owed.set(id, owed % 1);
      for (let i = 1; i <= owed; i++) this.#sparks.push({ way: id, share: -Math.random() * 0.05 });
    }
    const points = new Map(this.#ways.map((way) => [way.id, way.points]));
    this.#sparks = this.#sparks.slice(-MAX_SPARKS).filter((spark) => {
      const length = lengths.get(spark.way) ?? 0;
      if (length < 1) return false;
      spark.share += (PIXELS_PER_SECOND * seconds) / length;
      return spark.share < 1;
    });
    context.fillStyle = glow;
    for (const { way, share } of this.#sparks) {
      const [x, y] = pointAt(points.get(way) ?? [], share);
      if (share < 0) continue;
      const fade = Math.min(1, share * 8, (1 - share) * 8);
      context.globalAlpha = 0.22 * fade;
      disc(context, x, y, RADIUS_PX);
      context.globalAlpha = fade;
      disc(context, x, y, RADIUS_PX * 0.36);
    }
    context.globalAlpha = 1;
  }

  #sized(): CanvasRenderingContext2D | null {
    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = Math.min(2, devicePixelRatio);
    const width = Math.round(clientWidth * ratio);
    const height = Math.round(clientHeight * ratio);
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      Object.assign(this.#canvas, { width, height });
    }
    const context = this.#canvas.getContext('2d');
    context?.setTransform(ratio, 0, 0, ratio, 0, 0);
    return context;
  }
}

const STEPS = 24;

/** A curve that leaves and arrives level, as points. */
export function level(x0: number, y0: number, x1: number, y1: number): Way['points'] {
  const bend = (x1 - x0) / 2;
  return cubic([x0, y0], [x0 + bend, y0], [x1 - bend, y1], [x1, y1]);
}

/** A curve from one side of a gutter back to the same side. */
export function around(x0: number, y0: number, x1: number, y1: number, gutterX: number): Way['points'] {
  return cubic([x0, y0], [gutterX, y0], [gutterX, y1], [x1, y1]);
}

type Point = readonly [number, number];

function cubic(a: Point, b: Point, c: Point, d: Point): Way['points'] {
  return Array.from({ length: STEPS + 1 }, (_, i) => {
    const t = i / STEPS;
    const u = 1 - t;
    const mix = (axis: 0 | 1) =>
      u ** 3 * a[axis] + 3 * u * u * t * b[axis] + 3 * u * t * t * c[axis] + t ** 3 * d[axis];
    return [mix(0), mix(1)] as const;
  });
}

function lengthOf(points: Way['points']): number {
  let length = 0;
  points.forEach(([x, y], i) => {
    const [px, py] = points[i - 1] ?? [x, y];
    length += Math.hypot(x - px, y - py);
  });
  return length;
}

function pointAt(points: Way['points'], share: number): Point {
  const place = Math.max(0, Math.min(1, share)) * (points.length - 1);
  const before = points[Math.floor(place)] ?? [0, 0];
  const after = points[Math.ceil(place)] ?? before;
  const rest = place % 1;
  return [before[0] + (after[0] - before[0]) * rest, before[1] + (after[1] - before[1]) * rest];
}

function disc(context: CanvasRenderingContext2D, x: number, y: number, radius: number): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}
