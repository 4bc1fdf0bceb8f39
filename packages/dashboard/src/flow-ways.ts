import { around, level, type Way } from './sparks.js';

/** Where a part stands in the picture. */
interface Place {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly middle: number;
}

/**
 * The ways between the parts as they stand on the screen now: sources to the foot of the lamps, each lamp's top to the
 * generator, generator to outlets. Where parts stand below each other the ways go around them, on the left.
 */
export function waysIn(stage: HTMLElement, rates: ReadonlyMap<string, number>): Way[] {
  const origin = stage.getBoundingClientRect();
  const placeOf = (element: Element): Place => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const [x, y] = [origin.left, origin.top];
    return {
      left: left - x,
      right: right - x,
      top: top - y,
      bottom: bottom - y,
      middle: (top + bottom) / 2 - y,
    };
  };
  const found = (selector: string): Place | undefined => {
    const element = stage.querySelector(selector);
    return element === null ? undefined : placeOf(element);
  };
  const pools = found('.pools');
  const generator = found('.orb');
  if (pools === undefined || generator === undefined) return [];
  const isStacked = generator.top > pools.bottom;
  const centre = (generator.left + generator.right) / 2;

  const ways: Way[] = [];
  for (const element of stage.querySelectorAll<HTMLElement>('[data-part]')) {
    const id = element.dataset['part'] ?? '';
    const place = placeOf(element);
    const perSecond = rates.get(id) ?? 0;
    if (id.startsWith('source/')) {
      const points = isStacked
        ? around(place.left, place.middle, pools.left, pools.bottom - 30, 0)
        : level(place.right, place.middle, pools.left + 4, pools.bottom - 40);
      ways.push({ id, perSecond, points });
    }
    if (id.startsWith('outlet/')) {
      const points = isStacked
        ? around(centre - 30, generator.middle, place.left, place.middle, 0)
        : level(generator.right - 8, generator.middle, place.left, place.middle);
      ways.push({ id, perSecond, points });
    }
  }
  for (const element of stage.querySelectorAll<HTMLElement>('[data-pool]')) {
    if (element.tagName !== 'LI') continue;
    const place = placeOf(element);
    const x = (place.left + place.right) / 2;
    const points: Way['points'] = isStacked
      ? level(x, place.bottom, centre, generator.top)
      : [
          [x, place.top + 6],
          [x, pools.top - 12],
          ...level(x, pools.top - 12, generator.left + 8, generator.middle),
        ];
    ways.push({ id: `pool/${element.dataset['pool'] ?? ''}`, perSecond: undefined, points });
  }
  return ways;
}
