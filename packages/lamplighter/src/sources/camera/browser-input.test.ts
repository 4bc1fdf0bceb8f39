import { afterEach, describe, expect, it } from 'vitest';
import type { CameraDoor, FrameSender } from '../../wire/camera-door.js';
import { systemEnvironment } from '../../local/environment.js';
import { describeSourceCompliance } from '../source.compliance.js';
import { type CameraSource, cameraSource } from './camera.js';
import { testJpeg } from './mjpeg-server.fixture.js';
import { probeCamera } from './probe.js';
import { until } from './until.fixture.js';

const JPEGS = Array.from({ length: 16 }, (_, seed) => testJpeg(seed));
const PAGE: FrameSender = { page: 'one', simulated: false };
const STALL_MS = 600;

const started: CameraSource[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((camera) => camera.stop()));
});

/** A browser camera on a clock that can be turned on. */
async function stage() {
  let aheadNs = 0n;
  const real = systemEnvironment();
  const environment = { ...real, monotonicNs: () => real.monotonicNs() + aheadNs };
  const camera = cameraSource({ name: 'phone', url: 'browser:', stallMs: STALL_MS }, environment);
  const heard: Buffer[] = [];
  await camera.start({ hear: (bytes) => heard.push(Buffer.from(bytes)) }, new AbortController().signal);
  started.push(camera);
  return { camera, heard, turn: (ms: number) => (aheadNs += BigInt(ms) * 1_000_000n) };
}

function give(camera: CameraSource, jpeg: Uint8Array | undefined, sender = PAGE): void {
  const { frame }: CameraDoor = camera.door;
  if (frame === undefined || jpeg === undefined) throw new TypeError('no browser camera, or no picture');
  frame(jpeg, sender);
}

const withCode = (code: string): unknown => expect.objectContaining({ code });

describe('a browser camera', () => {
  it('hears every byte of what is handed in, and shows no more of itself than that', async () => {
    const { camera, heard } = await stage();
    give(camera, JPEGS[0]);
    expect(heard).toEqual([JPEGS[0]]);
    const { state, details } = camera.status();
    expect({ state, ...details }).toMatchObject({
      state: 'ok',
      input: 'browser',
      url: 'browser:',
      frames: 1,
    });
  });

  it.each([
    ['nothing', Buffer.alloc(0), 'ERR_BAD_REQUEST'],
    ['a PNG', Buffer.from('89504e470d0a1a0a0000ffd9', 'hex'), 'ERR_BAD_REQUEST'],
    ['half a JPEG', testJpeg(0).subarray(0, 500), 'ERR_BAD_REQUEST'],
    ['more than 2 MiB', Buffer.alloc(2 * 1024 * 1024 + 1), 'ERR_BODY_TOO_LARGE'],
  ])('refuses %s, and hears nothing of it', async (_what, bytes, code) => {
    const { camera, heard } = await stage();
    expect(() => give(camera, bytes)).toThrow(withCode(code));
    expect(heard).toEqual([]);
    expect(camera.status().state).toBe('starting');
  });

  it('takes fifteen a second and the bytes of four large ones, refuses the rest, and says when to come again', async () => {
    const { camera, heard, turn } = await stage();
    const offered = Array.from({ length: 60 }, (_, n) => {
      turn(10);
      try {
        give(camera, JPEGS[n % 16]);
        return undefined;
      } catch (error) {
        return error;
      }
    });
    const refused = offered.filter((error) => error !== undefined);
    // 0.6 s of 15 a second, and half a second of tolerance.
    expect(heard.length).toBeGreaterThanOrEqual(14);
    expect(heard.length).toBeLessThanOrEqual(20);
    expect(refused).toHaveLength(60 - heard.length);
    for (const error of refused) expect(error).toEqual(withCode('ERR_QUOTA'));
    expect(Reflect.get(refused.at(-1) ?? {}, 'retryAfterMs')).toBeGreaterThan(0);

    turn(5_000);
    const large = Buffer.alloc(2 * 1024 * 1024, 1);
    large.set([0xff, 0xd8, 0xff]);
    large.set([0xff, 0xd9], large.length - 2);
    const took = Array.from({ length: 10 }, () => {
      try {
        give(camera, large);
        return 1;
      } catch {
        return 0;
      }
    });
    expect(took.reduce<number>((sum, one) => sum + one, 0)).toBeLessThanOrEqual(4);
  });

  it('lets one page film at a time: the second waits until the first was silent for a stall', async () => {
    const { camera, heard, turn } = await stage();
    const other = { page: 'two', simulated: false };
    give(camera, JPEGS[0]);
    expect(() => give(camera, JPEGS[1], other)).toThrow(withCode('ERR_OVERLOADED'));
    turn(STALL_MS - 100);
    give(camera, JPEGS[2]);
    turn(STALL_MS - 100);
    expect(() => give(camera, JPEGS[3], other)).toThrow(withCode('ERR_OVERLOADED'));
    expect(heard).toHaveLength(2);
    turn(200);
    await until('the next attempt', () => tryToGive(camera, JPEGS[4], other));
    expect(() => give(camera, JPEGS[5])).toThrow(withCode('ERR_OVERLOADED'));
  });

  it('says in words that no page films, that one went, and hears the next at once', async () => {
    const { camera } = await stage();
    expect(camera.status()).toMatchObject({ state: 'starting' });
    const fault = () => {
      const { state, reason } = camera.status();
      return state === 'failed' ? reason : undefined;
    };
    const first = await until('that nobody films', fault);
    expect(first).toMatchObject({ code: 'ERR_CAMERA_STALLED', message: 'no page films for this camera' });
    expect(first.hint).toContain('/camera');
    await until('the next attempt', () => tryToGive(camera, JPEGS[0]));
    expect(camera.status().state).not.toBe('failed');
    const second = await until('that it went', fault);
    expect(second).toMatchObject({ code: 'ERR_CAMERA_STALLED' });
    expect(second.message).toContain('closed or hidden, or its session ended');
    const { restarts } = camera.status().details;
    await until('the next attempt', () => tryToGive(camera, JPEGS[1]));
    // However long nobody films, that is one restart.
    expect(restarts).toBeLessThanOrEqual(2);
  });

  it('marks itself simulated for good once a page says so', async () => {
    const { camera } = await stage();
    give(camera, JPEGS[0]);
    expect(camera.status().basis.simulated).toBe(false);
    give(camera, JPEGS[1], { page: 'one', simulated: true });
    give(camera, JPEGS[2]);
    expect(camera.status().basis).toMatchObject({ simulated: true, physical: false });
  });

  it('takes nothing after it was stopped', async () => {
    const { camera, heard } = await stage();
    await camera.stop();
    expect(() => give(camera, JPEGS[0])).toThrow(withCode('ERR_STOPPED'));
    expect(heard).toEqual([]);
  });

  it('cannot be looked at by a probe, which has nobody to call', async () => {
    const probe = probeCamera({ url: 'browser:' }, systemEnvironment(), new AbortController().signal);
    await expect(probe).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });

  it('is the only kind of camera into which pictures can be handed', () => {
    const { door } = cameraSource({ name: 'wall', url: 'http://127.0.0.1/' }, systemEnvironment());
    expect(door.frame).toBeUndefined();
  });
});

function tryToGive(camera: CameraSource, jpeg: Uint8Array | undefined, sender = PAGE): boolean {
  try {
    give(camera, jpeg, sender);
    return true;
  } catch {
    return false;
  }
}

describeSourceCompliance('camera', () => {
  const source = cameraSource({ name: 'phone', url: 'browser:' }, systemEnvironment());
  let next = 0;
  const film = setInterval(() => tryToGive(source, JPEGS[next++ % JPEGS.length]), 100);
  return Promise.resolve({
    source,
    cleanUp: () => {
      clearInterval(film);
      return Promise.resolve();
    },
  });
});
