import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { osSource } from './os.js';
import { describeSourceCompliance } from './source.compliance.js';

describeSourceCompliance('os', () =>
  Promise.resolve({
    source: osSource({ periodMs: 100 }, systemEnvironment()),
    cleanUp: () => Promise.resolve(),
  }),
);

describe('os', () => {
  it('is 32 bytes of the OS and 32 of this process’s generator', async () => {
    const environment = {
      ...systemEnvironment(),
      osRandom: (lengthBytes: number) => new Uint8Array(lengthBytes).fill(1),
      runtimeRandom: (lengthBytes: number) => new Uint8Array(lengthBytes).fill(2),
    };
    const bytes = await osSource({}, environment).sample(new AbortController().signal);
    expect([...(bytes ?? [])]).toEqual([...Array<number>(32).fill(1), ...Array<number>(32).fill(2)]);
  });

  it('says when the OS RNG fails, gives nothing instead, and recovers', async () => {
    let isBroken = true;
    const system = systemEnvironment();
    const source = osSource(
      {},
      {
        ...system,
        osRandom(lengthBytes: number) {
          if (isBroken) throw new LamplighterError('ERR_OS_RNG', '/dev/urandom cannot be read');
          return system.osRandom(lengthBytes);
        },
      },
    );
    expect(await source.sample(new AbortController().signal)).toBeUndefined();
    expect(source.status()).toMatchObject({ state: 'failed', reason: { code: 'ERR_OS_RNG' } });
    isBroken = false;
    expect((await source.sample(new AbortController().signal))?.length).toBe(64);
    expect(source.status().state).toBe('ok');
  });
});
