import type { Fact } from './fact.js';
import type { Subject } from './subject.js';

/** What to do without the native addon. */
export const GET_ADDON =
  'Install the package again on this machine, which brings the native addon for Linux on x64 and arm64: `npm install lamplighter`; in a source tree build it, with a C compiler: `npm run build`.';

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
        : GET_ADDON,
    },
  ];
}
