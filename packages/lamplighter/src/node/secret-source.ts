import type { SourceReport } from '../wire/status.js';
import { parseEgdAddress } from '../wire/egd-address.js';
import { isLoopback } from '../wire/network.js';
import type { SourceEntry } from './source-kinds.js';

/**
 * Whether what a source says now may hold bits that an outsider does not know. It counts nothing and vouches for nothing: it
 * only rules out what is known to be known.
 *
 * Source: DESIGN sections 2 and 8. Not secret: a source whose health test fails (stuck, frozen, dark …); a simulated one; a public
 * beacon; what comes in the clear over a network. A feed or beacon that rests on something simulated is secret all the same:
 * it is the output of another node, made for this one alone.
 */
export function isSecret(
  entry: SourceEntry,
  { state, basis }: Pick<SourceReport, 'state' | 'basis'>,
): boolean {
  if (state === 'degraded') return false;
  switch (entry.kind) {
    case 'feed':
    case 'beacon':
      return true;
    case 'public':
      return false;
    case 'pollen':
      return new URL(entry.url).protocol === 'https:';
    case 'egd':
      return isLocal(entry.address);
    case 'process':
      return !basis.simulated && (entry.from.connect === undefined || isLocal(entry.from.connect));
    default:
      return !basis.simulated;
  }
}

/** `unix:/path`, or `tcp:host:port` of this machine. */
function isLocal(address: string): boolean {
  const endpoint = parseEgdAddress(address);
  if ('path' in endpoint) return true;
  return isLoopback(endpoint.host);
}
