import { glassReflection, paintBackdrop, sceneValue } from './backdrop.js';
import { GLASS_FOOT_RADIUS_CM, GLASS_HEIGHT_CM, glassRadiusCm } from './glass.js';
import { type Lamp, type WaxBlob } from './lamp.js';
import { GLASS_FOOT_HEIGHT, type LampPlace, type Layout } from './layout.js';
import { between, dimmed } from './palette.js';

/** Draws lamps, one for each place of the layout; the returned scene is the renderer's own and changes at the next call. */
export type Renderer = (lamps: readonly Lamp[]) => Uint16Array;

/**
 * A blob's field is (1 - d²/R²)² with R this many radii, and wax is where the sum of all fields passes what a blob
 * alone has at one radius: a lone blob is a disc of its true size, and two that come near flow together.
 */
const FIELD_REACH = 1.8;
const SURFACE = (1 - 1 / FIELD_REACH ** 2) ** 2;
/** Half the width of the surface, in units of the field: a soft edge of about a pixel. */
const SURFACE_SOFTNESS = 0.045;
/** The wax that never leaves the foot of the lamp. */
const POOL_HEIGHT_CM = 2.2;

/** A table from linear light to scene values: light 0..2 in this many steps. */
const LIGHT_STEPS = 4096;

/** What a lamp's glass needs again for every frame, computed once. All pixel arrays cover the glass's box, row by row. */
interface Glass {
  readonly place: LampPlace;
  readonly leftPx: number;
  readonly topPx: number;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly field: Float32Array;
  /** Share of the pixel that lies inside the glass, 0..1. */
  readonly inside: Float32Array;
  /** Wax darkens towards the sides of the bottle, where its surface turns away. */
  readonly facing: Float32Array;
  readonly reflection: Float32Array;
  /** Three values a row. */
  readonly waxLight: Float32Array;
  /** One value a row. */
  readonly pool: Float32Array;
}

/**
 * Prepares a picture of the layout: the backdrop once, then only the wax for each frame. No memory is taken per frame.
 *
 * @returns a function of one lamp a place; it throws RangeError when their number differs, with nothing drawn
 */
export function createRenderer(layout: Layout): Renderer {
  const backdrop = paintBackdrop(layout);
  const scene = new Uint16Array(backdrop.length);
  const glasses = layout.lamps.map((place) => prepareGlass(layout, place));
  const toScene = Uint16Array.from({ length: LIGHT_STEPS }, (_, step) =>
    sceneValue((step * 2) / LIGHT_STEPS),
  );
  return (lamps) => {
    if (lamps.length !== glasses.length) throw new RangeError('there must be one lamp for each place');
    scene.set(backdrop);
    for (const [index, lamp] of lamps.entries()) {
      const glass = glasses[index];
      if (glass === undefined) break;
      glass.field.set(glass.pool);
      for (const blob of lamp.blobs) addToField(glass, blob);
      drawWax(glass, scene, layout.widthPx, toScene);
    }
    return scene;
  };
}

function prepareGlass(layout: Layout, place: LampPlace): Glass {
  const scale = place.pixelsPerCm;
  const footPx = place.boardPx - GLASS_FOOT_HEIGHT * place.heightPx;
  const leftPx = Math.max(0, Math.floor(place.axisPx - GLASS_FOOT_RADIUS_CM * scale - 1));
  const rightPx = Math.min(layout.widthPx, Math.ceil(place.axisPx + GLASS_FOOT_RADIUS_CM * scale + 1));
  const topPx = Math.max(0, Math.round(footPx - GLASS_HEIGHT_CM * scale));
  const widthPx = rightPx - leftPx;
  const heightPx = Math.round(footPx) - topPx;
  const size = widthPx * heightPx;
  const inside = new Float32Array(size);
  const facing = new Float32Array(size);
  const reflection = new Float32Array(size);
  const pool = new Float32Array(size);
  const waxLight = new Float32Array(heightPx * 3);
  for (let row = 0; row < heightPx; row++) {
    const heightCm = (footPx - topPx - row - 0.5) / scale;
    const share = heightCm / GLASS_HEIGHT_CM;
    waxLight.set(waxLightAt(place, share), row * 3);
    const radiusPx = glassRadiusCm(heightCm) * scale;
    const poolShare = Math.max(0, 1 - (heightCm / POOL_HEIGHT_CM) ** 2) ** 2;
    for (let column = 0; column < widthPx; column++) {
      const at = row * widthPx + column;
      const offsetPx = leftPx + column + 0.5 - place.axisPx;
      const side = Math.max(-1, Math.min(1, offsetPx / radiusPx));
      inside[at] = Math.min(1, Math.max(0, radiusPx - Math.abs(offsetPx) + 0.5));
      facing[at] = 0.6 + 0.4 * Math.sqrt(1 - side * side);
      reflection[at] = glassReflection(share, side);
      pool[at] = poolShare * (1 - 0.5 * side * side);
    }
  }
  return {
    place,
    leftPx,
    topPx,
    widthPx,
    heightPx,
    field: new Float32Array(size),
    inside,
    facing,
    reflection,
    waxLight,
    pool,
  };
}

/** Wax glows from the bulb's light in it, less and less on the way up. */
function waxLightAt(place: LampPlace, heightShare: number): readonly number[] {
  const cooled = Math.min(1, Math.max(0, heightShare * 1.5)) ** 0.75;
  const strength = 0.62 + 0.75 * Math.exp(-3.4 * Math.max(0, heightShare));
  return dimmed(between(place.palette.hotWax, place.palette.coolWax, cooled), strength);
}

/** A moving blob is drawn out along its way, as a real one is; its area stays. */
function addToField(glass: Glass, blob: WaxBlob): void {
  const scale = glass.place.pixelsPerCm;
  const stretch = 1 + 0.12 * Math.min(2.5, Math.abs(blob.riseSpeedCmPerS));
  const reachX = (FIELD_REACH * blob.radiusCm * scale) / stretch;
  const reachY = FIELD_REACH * blob.radiusCm * scale * stretch;
  const x = glass.place.axisPx + blob.xCm * scale - glass.leftPx;
  const y =
    glass.place.boardPx - GLASS_FOOT_HEIGHT * glass.place.heightPx - blob.heightCm * scale - glass.topPx;
  const fromRow = Math.max(0, Math.floor(y - reachY));
  const toRow = Math.min(glass.heightPx - 1, Math.ceil(y + reachY));
  const fromColumn = Math.max(0, Math.floor(x - reachX));
  const toColumn = Math.min(glass.widthPx - 1, Math.ceil(x + reachX));
  const { field, widthPx } = glass;
  for (let row = fromRow; row <= toRow; row++) {
    const dy = (row + 0.5 - y) / reachY;
    const left = 1 - dy * dy;
    for (let column = fromColumn; column <= toColumn; column++) {
      const dx = (column + 0.5 - x) / reachX;
      const near = left - dx * dx;
      if (near > 0) field[row * widthPx + column] = (field[row * widthPx + column] ?? 0) + near * near;
    }
  }
}

function drawWax(glass: Glass, scene: Uint16Array, sceneWidthPx: number, toScene: Uint16Array): void {
  const { field, widthPx, heightPx, inside, facing, reflection, waxLight } = glass;
  for (let row = 0; row < heightPx; row++) {
    const red = waxLight[row * 3] ?? 0;
    const green = waxLight[row * 3 + 1] ?? 0;
    const blue = waxLight[row * 3 + 2] ?? 0;
    const above = row === 0 ? 0 : -widthPx;
    const below = row === heightPx - 1 ? 0 : widthPx;
    for (let column = 0; column < widthPx; column++) {
      const at = row * widthPx + column;
      const strength = field[at] ?? 0;
      const wax = smoothStep((strength - SURFACE + SURFACE_SOFTNESS) / (2 * SURFACE_SOFTNESS));
      const share = wax * (inside[at] ?? 0);
      if (share === 0) continue;
      // The field's slope stands in for the surface: wax is lit from below, so a rim that faces down is bright.
      const slopeX = column === 0 || column === widthPx - 1 ? 0 : (field[at + 1] ?? 0) - (field[at - 1] ?? 0);
      const slopeY = (field[at + below] ?? 0) - (field[at + above] ?? 0);
      const slope = Math.sqrt(slopeX * slopeX + slopeY * slopeY) + 1e-6;
      const rim = 1 - smoothStep((strength - SURFACE) / 0.75);
      const shade = (facing[at] ?? 0) * (1 - rim * (0.34 + (0.3 * slopeY) / slope));
      const extra = reflection[at] ?? 0;
      const target = ((glass.topPx + row) * sceneWidthPx + glass.leftPx + column) * 3;
      mixIn(scene, target, toScene[lightStep(red * shade + extra)] ?? 0, share);
      mixIn(scene, target + 1, toScene[lightStep(green * shade + extra)] ?? 0, share);
      mixIn(scene, target + 2, toScene[lightStep(blue * shade + extra)] ?? 0, share);
    }
  }
}

function mixIn(scene: Uint16Array, at: number, value: number, share: number): void {
  const behind = scene[at] ?? 0;
  scene[at] = behind + (value - behind) * share;
}

function lightStep(light: number): number {
  const step = (light * (LIGHT_STEPS / 2)) | 0;
  return step < LIGHT_STEPS ? step : LIGHT_STEPS - 1;
}

function smoothStep(value: number): number {
  if (value <= 0) return 0;
  if (value >= 1) return 1;
  return value * value * (3 - 2 * value);
}
