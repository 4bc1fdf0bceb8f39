import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Environment, newArrivals, systemEnvironment } from './environment.js';

/** The same machine, once with the addon and once as on an installation that has none. */
async function environmentWith(addon: 'on' | 'off'): Promise<Environment> {
  vi.stubEnv('LAMPLIGHTER_NATIVE', addon);
  vi.resetModules();
  const { systemEnvironment } = await import('./environment.js');
  return systemEnvironment();
}

afterEach(() => {
  vi.doUnmock('@lamplighter/native');
  vi.unstubAllEnvs();
  vi.resetModules();
});

describe.each(['on', 'off'] as const)('the system environment, addon %s', (addon) => {
  it('draws OS bytes, others every time, of the length asked for', async () => {
    const environment = await environmentWith(addon);
    for (const lengthBytes of [1, 32, 5_000]) {
      expect(environment.osRandom(lengthBytes)).toHaveLength(lengthBytes);
    }
    expect(environment.osRandom(32)).not.toEqual(environment.osRandom(32));
  });

  it('answers every ability with a value or a reason, and throws for none', async () => {
    const environment = await environmentWith(addon);
    for (const ability of [
      environment.cycleCounter(),
      environment.cpuRandom(32, 'seed'),
      environment.cpuRandom(32, 'separator'),
      environment.vmGeneration(),
      environment.bootId(),
    ]) {
      expect(ability).toEqual(
        ability.supported
          ? { supported: true, value: expect.anything() as unknown }
          : { supported: false, reason: expect.stringMatching(/./) as string },
      );
    }
  });
});

describe('the system environment without the addon', () => {
  it('says of each ability that it is switched off', async () => {
    const environment = await environmentWith('off');
    const off = { supported: false, reason: 'switched off by LAMPLIGHTER_NATIVE=off' };
    expect(environment.cycleCounter()).toEqual(off);
    expect(environment.cpuRandom(32, 'seed')).toEqual(off);
    expect(environment.cpuRandom(32, 'separator')).toEqual(off);
    expect(environment.vmGeneration()).toEqual(off);
  });
});

describe('the system environment on a kernel that is not ready', () => {
  it('gives no OS bytes, and does not try another way', async () => {
    // Node itself waits for the kernel at its start, so only a stand-in can show this.
    vi.doMock(import('@lamplighter/native'), async (original) => ({
      ...(await original()),
      nativeAddon: () => ({ supported: true, value: 'stand-in' }),
      getrandom: () => ({ supported: false, reason: 'not ready' }),
    }));
    const environment = await environmentWith('on');
    expect(() => environment.osRandom(32)).toThrow(
      expect.objectContaining({ code: 'ERR_OS_RNG', message: 'not ready' }),
    );
  });
});

describe('readDevice', () => {
  const readDevice = (path: string, lengthBytes: number, deadlineMs: number) =>
    systemEnvironment().readDevice(path, lengthBytes, deadlineMs);

  it('reads a character device, other bytes each time', () => {
    const [one, two] = [readDevice('/dev/urandom', 64, 2_000), readDevice('/dev/urandom', 64, 2_000)];
    expect(one.supported && one.value.length).toBe(64);
    expect(one).not.toEqual(two);
  });

  it.each(['/dev/none', '/etc/passwd', '/dev'])('reads nothing from %s', (path) => {
    expect(readDevice(path, 64, 2_000)).toMatchObject({ supported: false });
  });

  it('waits no longer than told for one that is silent, and takes no less than asked for', () => {
    const startedMs = performance.now();
    // A terminal without an owner says nothing; /dev/null is at its end at once.
    expect(readDevice('/dev/null', 64, 2_000)).toMatchObject({ supported: false });
    const silent = readDevice('/dev/ptmx', 64, 200);
    expect(silent.supported).toBe(false);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });
});

it('of several arrivals that one turn of the event loop finds, the first is heard', async () => {
  const arrivals = newArrivals();
  let heard = 0;
  const listening = arrivals.subscribe(() => (heard += 1));
  for (let turn = 1; turn <= 3; turn += 1) {
    for (let packet = 0; packet < 5; packet += 1) arrivals.note();
    expect(heard).toBe(turn);
    await new Promise((resolve) => setImmediate(resolve));
  }
  listening.cancel();
  arrivals.note();
  expect(heard).toBe(3);
});
