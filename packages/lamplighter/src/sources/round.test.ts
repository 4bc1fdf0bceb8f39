import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { NO_BASIS } from '../wire/basis.js';
import { labelOf, round } from './round.js';
import type { Source, SourcePosition } from './source.js';

const environment = systemEnvironment();
const signal = new AbortController().signal;

function source(
  kind: string,
  position: SourcePosition,
  sample: (signal: AbortSignal) => Promise<Uint8Array | undefined>,
): Source {
  return {
    name: kind,
    kind,
    position,
    start: () => Promise.resolve(),
    sample,
    status: () => ({ state: 'ok', basis: NO_BASIS, details: {} }),
    stop: () => Promise.resolve(),
  };
}

describe('round', () => {
  it('asks the outside first and what is local only after the outside is closed, the OS last', async () => {
    const order: string[] = [];
    const asked = (kind: string, position: SourcePosition, turns: number) =>
      source(kind, position, async () => {
        for (let i = 0; i < turns; i += 1) await environment.timers.turn();
        order.push(kind);
        return Uint8Array.of(1);
      });
    await round(
      [
        asked('os', 'local', 0),
        asked('timing', 'local', 3),
        asked('camera', 'outside', 9),
        asked('feed', 'outside', 5),
      ],
      { environment, deadlineMs: 10_000, signal },
    );
    expect(order).toEqual(['feed', 'camera', 'timing', 'os']);
  });

  it('closes at its deadline: who is late, silent or deaf to the signal is absent, not skipped', async () => {
    const never = new Promise<undefined>(() => undefined);
    const parts = await round(
      [
        source('camera', 'outside', () => never),
        source('feed', 'outside', () => Promise.resolve(Uint8Array.of(7))),
        source('beacon', 'outside', () => Promise.reject(new Error('broken'))),
        source('os', 'local', () => Promise.resolve(Uint8Array.of(9))),
      ],
      { environment, deadlineMs: 20, signal },
    );
    expect(parts).toEqual([
      { label: 'camera', bytes: undefined },
      { label: 'feed', bytes: Uint8Array.of(7) },
      { label: 'beacon', bytes: undefined },
      { label: 'os', bytes: Uint8Array.of(9) },
    ]);
  });

  it('tells the outside that it is closed', async () => {
    let isClosed = false;
    await round(
      [
        source('camera', 'outside', (closing) => {
          closing.addEventListener('abort', () => (isClosed = true));
          return new Promise(() => undefined);
        }),
      ],
      { environment, deadlineMs: 5, signal },
    );
    expect(isClosed).toBe(true);
  });

  it('asks nobody twice', async () => {
    let asked = 0;
    const counting = source('feed', 'outside', () => {
      asked += 1;
      return Promise.resolve(undefined);
    });
    await round([counting], { environment, deadlineMs: 50, signal });
    expect(asked).toBe(1);
  });

  it('labels a source by its kind, and by its name where that says more', () => {
    expect(labelOf({ kind: 'os', name: 'os' })).toBe('os');
    expect(labelOf({ kind: 'camera', name: 'wall' })).toBe('camera/wall');
  });
});
