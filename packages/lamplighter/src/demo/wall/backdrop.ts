import { GLASS_HEIGHT_CM, glassRadiusCm } from './glass.js';
import { CAP_HEIGHT, GLASS_FOOT_HEIGHT, WAIST_HEIGHT, type LampPlace, type Layout } from './layout.js';
import { paintCaption } from './caption.js';
import { type Light, between, dimmed, fromHex } from './palette.js';
import { WHITE } from './sensor.js';

/** The plaster behind the lamps, the boards, and the lamps' metal, as they would look under one even lamp of strength 1. */
const PLASTER = fromHex(0x8a7f80);
const WOOD = fromHex(0x6b4630);
const METAL = fromHex(0xb8b4b0);
/** What little light there is beside the lamps' own. */
const ROOM: Light = [0.012, 0.011, 0.014];

/**
 * Paints everything that does not move: wall, boards, the lamps' metal, each glass full of lit liquid, and the caption.
 *
 * @returns scene values 0..WHITE, red, green and blue a pixel, row by row
 */
export function paintBackdrop(layout: Layout): Uint16Array {
  const { widthPx, heightPx, lamps } = layout;
  const scene = new Uint16Array(widthPx * heightPx * 3);
  const glow = lampGlow(layout);
  for (let y = 0; y < heightPx; y++) {
    const board = layout.boardsPx.find((top) => y >= top && y < top + layout.boardThicknessPx);
    for (let x = 0; x < widthPx; x++) {
      const lit = glow(x, y);
      const surface = board === undefined ? shade(PLASTER, lit) : boardLight(layout, y - board, lit);
      write(scene, (y * widthPx + x) * 3, dimmed(surface, vignette(layout, x, y)));
    }
  }
  for (const lamp of lamps) paintLamp(scene, layout, lamp);
  paintCaption(scene, widthPx, heightPx);
  return scene;
}

/** Light to a scene value: a soft shoulder instead of clipping, then the eye's scale. */
export function sceneValue(light: number): number {
  const shouldered = light < 0.6 ? light : 0.6 + 0.4 * (1 - Math.exp(-(light - 0.6) / 0.4));
  return Math.round(WHITE * Math.max(0, shouldered) ** (1 / 2.2));
}

/** The liquid's light in a glass: brightest over the bulb, darker towards the sides, where one looks through less of it. */
export function liquidLight(lamp: LampPlace, heightShare: number, sideShare: number): Light {
  const overBulb = 0.42 + 1.5 * Math.exp(-4.2 * heightShare);
  const depth = 0.45 + 0.55 * Math.sqrt(Math.max(0, 1 - sideShare * sideShare));
  const warm = between(lamp.palette.liquid, lamp.palette.hotWax, 0.3 * Math.exp(-7 * heightShare));
  return dimmed(warm, overBulb * depth);
}

/** Reflections on the glass: a window on the left, a fainter edge on the right. Added to whatever is behind. */
export function glassReflection(heightShare: number, sideShare: number): number {
  const ends = Math.min(1, heightShare * 9) * Math.min(1, (1 - heightShare) * 9);
  const window = Math.exp(-(((sideShare + 0.62) / 0.1) ** 2)) * 0.11;
  const edge = Math.exp(-(((sideShare - 0.84) / 0.07) ** 2)) * 0.05;
  return ends * (window + edge);
}

/** The wall's light at a point: each lamp's glass is a soft upright source. */
function lampGlow(layout: Layout): (x: number, y: number) => Light {
  const sources = layout.lamps.map((lamp) => ({
    x: lamp.axisPx,
    // The lower, hotter part gives most.
    y: lamp.boardPx - lamp.heightPx * (GLASS_FOOT_HEIGHT + 0.2),
    reach: lamp.heightPx * 0.33,
    light: lamp.palette.glow,
  }));
  return (x, y) => {
    let [red, green, blue] = ROOM;
    for (const source of sources) {
      const dx = (x - source.x) / source.reach;
      const dy = (y - source.y) / (source.reach * 1.5);
      const strength = 0.38 / (1 + dx * dx + dy * dy) ** 2;
      red += source.light[0] * strength;
      green += source.light[1] * strength;
      blue += source.light[2] * strength;
    }
    return [red, green, blue];
  };
}

/** A polished board: a bright upper edge, a front that darkens downwards. */
function boardLight(layout: Layout, belowEdgePx: number, lit: Light): Light {
  const share = belowEdgePx / layout.boardThicknessPx;
  const strength = share < 0.34 ? 6 - 9 * share : 1.1 * (1.15 - share);
  return dimmed(shade(WOOD, lit), strength);
}

function vignette(layout: Layout, x: number, y: number): number {
  const dx = (x / layout.widthPx - 0.5) * 2;
  const dy = (y / layout.heightPx - 0.5) * 2;
  return 1 - 0.32 * Math.min(1, (dx * dx + dy * dy) / 2);
}

function paintLamp(scene: Uint16Array, layout: Layout, lamp: LampPlace): void {
  const topPx = Math.max(0, Math.floor(lamp.boardPx - lamp.heightPx));
  for (let y = topPx; y < lamp.boardPx; y++) {
    const height = (lamp.boardPx - y - 0.5) / lamp.heightPx;
    const radiusPx = outlineRadius(lamp, height);
    const fromPx = Math.max(0, Math.floor(lamp.axisPx - radiusPx - 1));
    const toPx = Math.min(layout.widthPx - 1, Math.ceil(lamp.axisPx + radiusPx + 1));
    for (let x = fromPx; x <= toPx; x++) {
      const offsetPx = x + 0.5 - lamp.axisPx;
      const coverage = Math.min(1, Math.max(0, radiusPx - Math.abs(offsetPx) + 0.5));
      if (coverage === 0) continue;
      const side = Math.max(-1, Math.min(1, offsetPx / radiusPx));
      blend(scene, (y * layout.widthPx + x) * 3, lampLight(lamp, height, side), coverage);
    }
  }
}

/** Half the lamp's width in pixels, at a height in units of the lamp's. */
function outlineRadius(lamp: LampPlace, height: number): number {
  const foot = glassRadiusCm(0) * lamp.pixelsPerCm;
  const neck = glassRadiusCm(GLASS_HEIGHT_CM) * lamp.pixelsPerCm;
  if (height < WAIST_HEIGHT) return foot * (1.12 - (0.42 * height) / WAIST_HEIGHT);
  if (height < GLASS_FOOT_HEIGHT) {
    return foot * (0.7 + (0.34 * (height - WAIST_HEIGHT)) / (GLASS_FOOT_HEIGHT - WAIST_HEIGHT));
  }
  if (height < CAP_HEIGHT) return glassRadiusCm(glassShare(height) * GLASS_HEIGHT_CM) * lamp.pixelsPerCm;
  return neck * (1.06 - (0.34 * (height - CAP_HEIGHT)) / (1 - CAP_HEIGHT));
}

function lampLight(lamp: LampPlace, height: number, side: number): Light {
  if (height >= GLASS_FOOT_HEIGHT && height < CAP_HEIGHT) {
    const share = glassShare(height);
    const reflected = glassReflection(share, side);
    const [red, green, blue] = liquidLight(lamp, share, side);
    return [red + reflected, green + reflected, blue + reflected];
  }
  return metalLight(lamp, height, side);
}

/** Turned metal: two bands of room light, and the lamp's own colour where the glass lights it. */
function metalLight(lamp: LampPlace, height: number, side: number): Light {
  const bands =
    0.035 + 0.3 * Math.exp(-(((side + 0.45) / 0.16) ** 2)) + 0.13 * Math.exp(-(((side - 0.6) / 0.13) ** 2));
  const fromGlassShare =
    height < CAP_HEIGHT
      ? Math.max(0, (height - WAIST_HEIGHT) / (GLASS_FOOT_HEIGHT - WAIST_HEIGHT))
      : 1 - (height - CAP_HEIGHT) / (1 - CAP_HEIGHT);
  const own = dimmed(lamp.palette.glow, 0.03 + 0.22 * fromGlassShare ** 3);
  const facing = Math.sqrt(Math.max(0, 1 - side * side));
  const room: Light = [
    bands + own[0] * facing,
    bands * 0.97 + own[1] * facing,
    bands * 0.95 + own[2] * facing,
  ];
  // The lower cone leans towards the floor and catches less light.
  return dimmed(shade(METAL, room), height < WAIST_HEIGHT ? 0.75 : 1);
}

function glassShare(height: number): number {
  return (height - GLASS_FOOT_HEIGHT) / (CAP_HEIGHT - GLASS_FOOT_HEIGHT);
}

function shade(surface: Light, lit: Light): Light {
  return [surface[0] * lit[0], surface[1] * lit[1], surface[2] * lit[2]];
}

function write(scene: Uint16Array, at: number, light: Light): void {
  scene[at] = sceneValue(light[0]);
  scene[at + 1] = sceneValue(light[1]);
  scene[at + 2] = sceneValue(light[2]);
}

function blend(scene: Uint16Array, at: number, light: Light, coverage: number): void {
  for (const [channel, value] of light.entries()) {
    const behind = scene[at + channel] ?? 0;
    scene[at + channel] = Math.round(behind + (sceneValue(value) - behind) * coverage);
  }
}
