/** Height of the liquid column in every lamp, cm. */
export const GLASS_HEIGHT_CM = 24;

/** Inner radius of the glass at its foot, where it is widest, cm. */
export const GLASS_FOOT_RADIUS_CM = 4.6;

/** Inner radius of the glass under the cap, cm. */
export const GLASS_NECK_RADIUS_CM = 2.5;

/**
 * Inner radius of the glass at a height: the bottle of the classic lamp, a cone with a slight belly.
 *
 * @param heightCm - above the foot of the glass; held inside 0..{@link GLASS_HEIGHT_CM}
 * @returns cm
 */
export function glassRadiusCm(heightCm: number): number {
  const share = Math.min(1, Math.max(0, heightCm / GLASS_HEIGHT_CM));
  const belly = 1.1 * share * (1 - share);
  return GLASS_FOOT_RADIUS_CM + (GLASS_NECK_RADIUS_CM - GLASS_FOOT_RADIUS_CM) * share + belly;
}
