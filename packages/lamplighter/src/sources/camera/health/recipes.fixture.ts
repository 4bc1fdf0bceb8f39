import type { CameraFault } from './camera-health.js';

/** The look of a video: its size and rate, and how noisy its sensor is. */
export interface Look {
  /** Like `320x240`. */
  readonly size: string;
  readonly fps: number;
  /** Strength of ffmpeg's noise filter: an SD of some 0.58 levels for each. */
  readonly noise: number;
}

/** A kind of video, and what is to be said of it. */
export interface Recipe {
  readonly name: string;
  readonly lavfi: (look: Look) => string;
  readonly seconds: number;
  /** Absent: it is good. */
  readonly fault?: {
    /** Any of these is right. */
    readonly anyOf: readonly CameraFault[];
    /** When it begins, s. */
    readonly fromSeconds: number;
  };
  readonly isUneven?: boolean;
}

/** Two soft blobs of wax that move, drawn small and blown up: ffmpeg's geq is slow. */
const wax = ({ size, fps }: Look) =>
  `color=black:s=80x60:r=${fps},geq=lum='45+120*exp(-((X-W/4-6*sin(T*0.5))^2+(Y-H/2-16*sin(T*0.21))^2)/250)` +
  `+90*exp(-((X-W*0.7-4*cos(T*0.4))^2+(Y-H/2+17*cos(T*0.17))^2)/180)':cb=110:cr=150,scale=s=${size}:flags=bicubic`;
const sensor = ({ noise }: Look) => `noise=alls=${noise}:allf=t`;
const lamps = (look: Look) => `${wax(look)},${sensor(look)}`;
/** From a picture on, that picture for ever. */
const held = (look: Look, second: number) =>
  `trim=end_frame=${Math.round(second * look.fps)},loop=-1:1:${Math.round(second * look.fps) - 1},setpts=N/(${look.fps}*TB)`;
/** The first seconds again and again. */
const looped = (look: Look, seconds: number) =>
  `trim=end_frame=${seconds * look.fps},loop=-1:${seconds * look.fps}:0,setpts=N/(${look.fps}*TB)`;
const bad = (anyOf: readonly CameraFault[], fromSeconds = 0) => ({ fault: { anyOf, fromSeconds } });
/** Half-way into a video of twenty seconds. */
const HALF = 10;
const still = (look: Look) => `${lamps(look)},${held(look, 1)}`;

/** The videos of the table: what a camera must be told apart from, and what it must not be taken for. */
export const RECIPES: readonly Recipe[] = [
  { name: 'noisy lamps', lavfi: lamps, seconds: 20 },
  {
    name: 'lamps of gradients',
    lavfi: (look) =>
      `gradients=s=${look.size}:r=${look.fps}:n=4:seed=7:speed=0.01,format=yuv420p,${sensor(look)}`,
    seconds: 20,
  },
  {
    name: 'a dark room with sensor noise',
    lavfi: (look) => `color=0x101010:s=${look.size}:r=${look.fps},${sensor(look)}`,
    seconds: 20,
  },
  {
    name: 'flicker',
    lavfi: (look) =>
      `${wax(look)},eq=brightness='0.06*sin(2*PI*t*3.3)':contrast='1+0.05*sin(2*PI*t*3.3)':eval=frame,${sensor(look)}`,
    seconds: 20,
  },
  {
    name: 'a still scene before a noisy sensor',
    lavfi: (look) =>
      `testsrc2=s=${look.size}:r=${look.fps},${held(look, 0.1)},lutyuv=y=val*0.7+20,${sensor(look)}`,
    seconds: 20,
  },
  {
    name: 'daylight that grows',
    lavfi: (look) => `${wax(look)},eq=brightness='t/150':eval=frame,${sensor(look)}`,
    seconds: 30,
  },
  {
    name: 'black',
    lavfi: ({ size, fps }) => `color=black:s=${size}:r=${fps}`,
    seconds: 12,
    ...bad(['dark']),
  },
  {
    name: 'white',
    lavfi: ({ size, fps }) => `color=white:s=${size}:r=${fps}`,
    seconds: 12,
    ...bad(['blind']),
  },
  {
    name: 'over-exposed',
    lavfi: (look) => `${lamps(look)},lutyuv=y='clip(val*4+100,16,235)'`,
    seconds: 12,
    ...bad(['blind']),
  },
  { name: 'one still', lavfi: still, seconds: 12, ...bad(['frozen']) },
  {
    name: 'one still with a running clock',
    // A bar that grows and a box that changes each second stand for digits: not every machine has a font.
    lavfi: (look) =>
      `${still(look)},drawbox=x=8:y=8:w=24:h=16:color=white:t=fill:enable='lt(mod(t,2),1)'` +
      `,drawbox=x=40:y=8:w=16:h=16:color=black:t=fill:enable='lt(mod(t,4),2)'`,
    seconds: 14,
    ...bad(['overlay-only']),
  },
  {
    name: 'a loop of 3 seconds',
    lavfi: (look) => `${lamps(look)},${looped(look, 3)}`,
    seconds: 14,
    ...bad(['replayed'], 3),
  },
  {
    name: 'a loop of 60 seconds',
    lavfi: (look) => `${lamps(look)},${looped(look, 60)}`,
    seconds: 71,
    ...bad(['replayed'], 60),
  },
  {
    name: 'a still gradient',
    lavfi: ({ size, fps }) =>
      `color=black:s=160x120:r=${fps},geq=lum='16+X*219/W':cb=128:cr=128,scale=s=${size}`,
    seconds: 12,
    ...bad(['flat']),
  },
  {
    name: 'a gradient that moves',
    lavfi: ({ size, fps }) => `gradients=s=${size}:r=${fps}:n=3:seed=5:speed=0.02,format=yuv420p`,
    seconds: 12,
    ...bad(['low-noise', 'flat']),
  },
  {
    name: 'test pattern testsrc',
    lavfi: ({ size, fps }) => `testsrc=s=${size}:r=${fps}`,
    seconds: 12,
    ...bad(['low-noise', 'overlay-only']),
  },
  {
    name: 'test pattern testsrc2',
    lavfi: ({ size, fps }) => `testsrc2=s=${size}:r=${fps}`,
    seconds: 12,
    ...bad(['low-noise']),
  },
  {
    name: 'test pattern smptebars',
    lavfi: ({ size, fps }) => `smptebars=s=${size}:r=${fps}`,
    seconds: 12,
    ...bad(['frozen']),
  },
  { name: 'noise-free wax', lavfi: wax, seconds: 14, ...bad(['low-noise']) },
  {
    name: 'noise-free mandelbrot',
    lavfi: ({ size, fps }) => `mandelbrot=s=${size}:r=${fps}`,
    seconds: 12,
    ...bad(['low-noise']),
  },
  {
    name: 'noise-free cellular automaton',
    lavfi: ({ fps }) =>
      `life=s=320x240:r=${fps}:ratio=0.3:mold=10:life_color=#C83232:death_color=#3232FF:seed=1`,
    seconds: 12,
    ...bad(['low-noise']),
  },
  {
    name: 'frozen half-way',
    lavfi: (look) => `${lamps(look)},${held(look, HALF)}`,
    seconds: 21,
    ...bad(['frozen'], HALF),
  },
  {
    name: 'capped half-way',
    lavfi: (look) => `${lamps(look)},drawbox=color=black:t=fill:enable='gte(t,${HALF})'`,
    seconds: 21,
    ...bad(['dark'], HALF),
  },
  {
    name: 'half the frame covered',
    lavfi: (look) => `${lamps(look)},drawbox=w=iw/2:color=black:t=fill`,
    seconds: 12,
    ...bad(['dark', 'flat']),
  },
  {
    name: 'half the frame covered half-way',
    lavfi: (look) => `${lamps(look)},drawbox=h=ih/2:color=gray:t=fill:enable='gte(t,${HALF})'`,
    seconds: 21,
    ...bad(['dark', 'flat', 'changed'], HALF),
  },
  {
    name: 'another exposure half-way',
    lavfi: (look) => `${wax(look)},eq=brightness=0.2:enable='gte(t,${HALF})',${sensor(look)}`,
    seconds: 21,
    ...bad(['changed'], HALF),
  },
  {
    name: 'rate drop',
    lavfi: (look) => `${lamps(look)},select='lt(t,${HALF})+not(mod(n,4))'`,
    seconds: 21,
    isUneven: true,
    ...bad(['stalled'], HALF),
  },
];
