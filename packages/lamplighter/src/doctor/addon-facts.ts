import type { Fact } from './fact.js';
import type { Subject } from './subject.js';

/** Whether the native addon is here, and what is off without it. */
export function addonFacts({ native }: Subject): readonly Fact[] {
  const id = 'addon';
  const addon = native.available();
  if (addon.supported) return [{ id, level: 'ok', text: 'built and loaded', values: { loaded: true } }];
  return [
    {
      id,
      level: 'weak',
      text:
        `${addon.reason}; off without it: the TLS hedge, the seed’s lock and so its rotation, RNDADDENTROPY and RNDRESEEDCRNG, ` +
        'CPU instructions, cycle counter, VM generation, checks of who asks on a socket',
      values: { loaded: false },
      action: addon.reason.includes('LAMPLIGHTER_NATIVE')
        ? 'Let the native addon be loaded: `unset LAMPLIGHTER_NATIVE`.'
        : 'Build the native addon, with a C compiler installed: `npm run build`.',
    },
  ];
}
