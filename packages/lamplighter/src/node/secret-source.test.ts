import { describe, expect, it } from 'vitest';
import { NO_BASIS } from '../wire/basis.js';
import type { SourceState } from '../wire/status.js';
import { isSecret } from './secret-source.js';
import { sourceEntry } from './source-kinds.js';

const judged = (
  entry: object,
  { simulated = false, state = 'ok' }: { simulated?: boolean; state?: SourceState } = {},
): boolean => isSecret(sourceEntry.parse(entry), { state, basis: { ...NO_BASIS, simulated } });

describe('what may be secret', () => {
  it.each([
    { kind: 'os' },
    { kind: 'timing' },
    { kind: 'camera', url: 'http://camera.local/stream.mjpg' },
    { kind: 'beacon', url: 'https://relay.example:9443' },
    { kind: 'pollen', url: 'https://entropy.example/' },
    { kind: 'egd', address: 'unix:/run/egd/pool' },
    { kind: 'egd', address: 'tcp:127.0.0.1:8888' },
    { kind: 'process', from: { command: ['cat', '/dev/hwrng'] } },
    { kind: 'process', from: { connect: 'unix:/run/noise.sock' } },
  ])('$kind, healthy: %j', (entry) => {
    expect(judged(entry)).toBe(true);
    // Nothing is heard then: what was heard before is as secret as it was.
    expect(judged(entry, { state: 'failed' })).toBe(true);
  });

  it.each([
    { kind: 'public' },
    { kind: 'pollen', url: 'http://entropy.example/' },
    { kind: 'egd', address: 'tcp:10.1.2.3:8888' },
    { kind: 'egd', address: 'tcp:127.noise.example:8888' },
    { kind: 'process', from: { connect: 'tcp:noise.example:99' } },
  ])('not $kind, whatever it says: %j', (entry) => {
    expect(judged(entry)).toBe(false);
  });

  it('nothing of a source whose health test fails: stuck, frozen, dark', () => {
    for (const entry of [{ kind: 'os' }, { kind: 'camera', url: '/dev/video0' }, { kind: 'jitter' }]) {
      expect(judged(entry, { state: 'degraded' })).toBe(false);
    }
  });

  it('no simulated camera; but what another node makes of one for this node alone', () => {
    expect(judged({ kind: 'camera', url: 'http://127.0.0.1:1/' }, { simulated: true })).toBe(false);
    expect(judged({ kind: 'feed', url: 'https://office.example:9443' }, { simulated: true })).toBe(true);
  });
});
