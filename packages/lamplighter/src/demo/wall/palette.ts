/** Red, green and blue in linear light, 0..1 for what a screen can show; more is brighter than white. */
export type Light = readonly [red: number, green: number, blue: number];

/** The colours of one lamp. */
export interface Palette {
  /** Wax by the bulb, lit through. */
  readonly hotWax: Light;
  /** Wax under the cap. */
  readonly coolWax: Light;
  readonly liquid: Light;
  /** What the lamp throws on its surroundings. */
  readonly glow: Light;
}

/** The lamps of the wall, in order from the left; the wall starts over when it has more. */
export const PALETTES: readonly Palette[] = [
  palette(0xffc070, 0xe8281c, 0x6a1038, 0xff5a30),
  palette(0xffffff, 0x8fd0ff, 0x0f46c8, 0x3f8cff),
  palette(0xffff9a, 0x8ee000, 0x0d6a2a, 0x70e040),
  palette(0xffd0ea, 0xff2f92, 0x5016a0, 0xe040c0),
  palette(0xfff4b8, 0xff8a12, 0x8a2c05, 0xff9030),
  palette(0xe0fff6, 0x14d9c0, 0x064a72, 0x20c8d0),
  palette(0xf6e4ff, 0xa45cff, 0x201884, 0x8a60ff),
  palette(0xffe08a, 0xff4a1f, 0x94600a, 0xffa028),
];

/** Scales a light. */
export function dimmed(light: Light, factor: number): Light {
  return [light[0] * factor, light[1] * factor, light[2] * factor];
}

/** Goes from one light to another; share 0 is the first, 1 the second. */
export function between(from: Light, to: Light, share: number): Light {
  return [
    from[0] + (to[0] - from[0]) * share,
    from[1] + (to[1] - from[1]) * share,
    from[2] + (to[2] - from[2]) * share,
  ];
}

/** A colour as on the web, 0xRRGGBB. */
export function fromHex(hex: number): Light {
  return [linear(hex >> 16), linear((hex >> 8) & 255), linear(hex & 255)];
}

function palette(hotWax: number, coolWax: number, liquid: number, glow: number): Palette {
  return {
    hotWax: fromHex(hotWax),
    coolWax: fromHex(coolWax),
    liquid: fromHex(liquid),
    glow: fromHex(glow),
  };
}

function linear(byte: number): number {
  return (byte / 255) ** 2.2;
}
