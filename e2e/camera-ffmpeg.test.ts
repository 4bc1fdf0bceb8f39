import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Environment, systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { describeSourceCompliance } from '../packages/lamplighter/dist/sources/source.compliance.js';
import { type CameraSource, cameraSource } from '../packages/lamplighter/dist/sources/camera/camera.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';

const TRUTH_MS = 5_000;
const FFMPEG = ['-nostdin', '-hide_banner', '-loglevel', 'error', '-y'];
const NOISE = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=25', '-vf', 'noise=alls=20:allf=t'];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '25', '-pix_fmt', 'yuv420p'];

let folder: string;
const inFolder = (name: string) => path.join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-camera-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A port that was free a moment ago: for programs that cannot say which one they took. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Runs a camera for the length of a test; gives what it heard and whom it started. */
async function withCamera(
  url: string,
  body: (use: { camera: CameraSource; heard: Buffer[]; started: Started[] }) => Promise<void>,
): Promise<void> {
  const started: Started[] = [];
  const camera = cameraSource({ name: 'wall', url }, spying(started));
  const heard: Buffer[] = [];
  await camera.start({ hear: (bytes) => heard.push(Buffer.from(bytes)) }, new AbortController().signal);
  try {
    await body({ camera, heard, started });
  } finally {
    await camera.stop();
  }
  for (const { pid } of started) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
}

interface Started {
  readonly pid: number;
  readonly commandLine: string;
  readonly environmentKeys: string[];
}

function spying(started: Started[]): Environment {
  const environment = systemEnvironment();
  return {
    ...environment,
    spawn(command, args, options) {
      const child = environment.spawn(command, args, options);
      const environmentKeys = Object.keys(options.env ?? {});
      const commandLine = args.join(' ');
      // What tries the sandbox out is not what is tested here.
      if (child.pid !== undefined && /ffmpeg|decoder-process/.test(commandLine)) {
        started.push({ pid: child.pid, commandLine, environmentKeys });
      }
      return child;
    },
  };
}

const reached = (camera: CameraSource, state: string, deadlineMs = TRUTH_MS) =>
  until(`state ${state}`, () => camera.status().state === state, deadlineMs);

const failedWith = (camera: CameraSource, code: string, deadlineMs = TRUTH_MS) =>
  until(code, () => camera.status().state === 'failed' && camera.status().reason?.code === code, deadlineMs);

const seen = (camera: CameraSource) => until('a picture', () => camera.latestPreview() !== undefined, 15_000);

/** Heard again after a fault, which it remembers for a while. */
const heardAgain = (camera: CameraSource) =>
  until('video', () => ['ok', 'degraded'].includes(camera.status().state), 15_000);

needs('ffmpeg', 'setpriv')('camera through ffmpeg', () => {
  beforeAll(() => {
    execFileSync('ffmpeg', [...FFMPEG, ...NOISE, ...H264, '-t', '3', inFolder('short.mp4')]);
    execFileSync('ffmpeg', [...FFMPEG, ...NOISE, ...H264, '-t', '60', inFolder('long.mp4')]);
  });

  it('plays an H.264 file to its end, hears every byte of it, and does not play it again', async () => {
    await withCamera(inFolder('short.mp4'), async ({ camera, heard, started }) => {
      const anchor = camera.sample(AbortSignal.timeout(10_000));
      await seen(camera);
      expect(camera.status()).toMatchObject({
        state: 'ok',
        basis: { simulated: true, physical: false },
        details: { input: 'ffmpeg', codec: 'h264', decoded: 'all frames', url: inFolder('short.mp4') },
      });
      expect((await anchor)?.length).toBe(64);
      await reached(camera, 'ended', 15_000);
      expect(camera.status().reason).toBeUndefined();
      expect(camera.status().details).toMatchObject({ frames: 75, restarts: 0 });
      expect(camera.latestPreview()).toMatchObject({ width: 80, height: 60 });

      const packets = ['-i', inFolder('short.mp4'), '-c:v', 'copy', '-f', 'rawvideo', inFolder('packets')];
      execFileSync('ffmpeg', [...FFMPEG, ...packets]);
      expect(Buffer.concat(heard).equals(readFileSync(inFolder('packets')))).toBe(true);
      expect(started.map(({ environmentKeys }) => environmentKeys)).toEqual([['PATH']]);
      expect(await camera.sample(AbortSignal.timeout(1000))).toBeInstanceOf(Uint8Array);
      expect(await camera.sample(AbortSignal.timeout(1000))).toBeUndefined();
    });
  });

  describeSourceCompliance('camera', async () => ({
    source: cameraSource({ name: 'wall', url: inFolder('long.mp4') }, systemEnvironment()),
    cleanUp: async () => undefined,
  }));

  it('says that its child was killed, and starts another', async () => {
    await withCamera(inFolder('long.mp4'), async ({ camera, started }) => {
      await seen(camera);
      process.kill(started[0]?.pid ?? 0, 'SIGKILL');
      await failedWith(camera, 'ERR_CHILD_EXITED');
      expect(camera.status().reason?.message).toContain('signal SIGKILL');
      await heardAgain(camera);
      expect(camera.status().details['restarts']).toBe(1);
    });
  });

  it('kills a child that stalls, says so, and starts another', async () => {
    await withCamera(inFolder('long.mp4'), async ({ camera, started }) => {
      await seen(camera);
      process.kill(started[0]?.pid ?? 0, 'SIGSTOP');
      await failedWith(camera, 'ERR_CAMERA_STALLED');
      await heardAgain(camera);
      expect(started.length).toBeGreaterThan(1);
    });
  });

  it('reads what ffmpeg serves as mpjpeg over HTTP', async () => {
    const port = await freePort();
    const address = `http://127.0.0.1:${port}`;
    const jpegs = ['-c:v', 'mjpeg', '-q:v', '5', '-f', 'mpjpeg', '-listen', '1', address];
    const server = spawn('ffmpeg', [...FFMPEG, '-re', ...NOISE, ...jpegs], { stdio: 'ignore' });
    try {
      await withCamera(address, async ({ camera, heard }) => {
        await seen(camera);
        expect(camera.status()).toMatchObject({ basis: { simulated: false }, details: { codec: 'mjpeg' } });
        expect(heard.every((jpeg) => jpeg.readUInt16BE(0) === 0xffd8)).toBe(true);
        expect(heard.every((jpeg) => jpeg.readUInt16BE(jpeg.length - 2) === 0xffd9)).toBe(true);
        server.kill('SIGKILL');
        await failedWith(camera, 'ERR_CAMERA_GONE');
      });
    } finally {
      server.kill('SIGKILL');
    }
  });

  it('says what is wrong with a file, and plays it once it is right', async () => {
    const file = inFolder('later.mp4');
    await withCamera(file, async ({ camera }) => {
      await failedWith(camera, 'ERR_CAMERA_GONE');
      writeFileSync(file, 'this is no video\n'.repeat(100));
      await failedWith(camera, 'ERR_CAMERA_FORMAT', 15_000);
      writeFileSync(file, readFileSync(inFolder('short.mp4')));
      await seen(camera);
      await reached(camera, 'ended', 15_000);
    });
  });

  it('opens no playlist', async () => {
    const file = inFolder('list.m3u8');
    const entry = `#EXTINF:3,\n${inFolder('short.mp4')}\n`;
    writeFileSync(file, `#EXTM3U\n#EXT-X-TARGETDURATION:3\n${entry}#EXT-X-ENDLIST\n`);
    await withCamera(file, async ({ camera, heard }) => {
      await failedWith(camera, 'ERR_CAMERA_FORMAT');
      expect(heard).toEqual([]);
    });
  });

  it('hands credentials to ffmpeg, shows them nowhere, and says that nobody listens', async () => {
    const url = `rtsp://alice:sesame@127.0.0.1:${await freePort()}/wall?token=tell-no-one`;
    await withCamera(url, async ({ camera, started }) => {
      await failedWith(camera, 'ERR_CAMERA_GONE');
      await until('both transports tried', () => started.length >= 2, 15_000);
      await until('the fault of the second', () => camera.status().details['transport'] === 'tcp', 15_000);
      const seen = JSON.stringify([camera.status(), started]);
      expect(seen).toContain('rtsp://***@127.0.0.1');
      expect(seen).toContain('Connection refused');
      expect(seen).not.toMatch(/alice|sesame|tell-no-one/);
    });
  });

  it('says that ffmpeg is missing and how to get it, and carries on when it is there', async () => {
    const before = process.env['PATH'];
    process.env['PATH'] = folder;
    try {
      await withCamera(inFolder('short.mp4'), async ({ camera, started }) => {
        await failedWith(camera, 'ERR_FFMPEG_MISSING');
        expect(camera.status().reason?.hint).toContain('apt-get install ffmpeg');
        expect(started).toEqual([]);
        process.env['PATH'] = before;
        await heardAgain(camera);
      });
    } finally {
      process.env['PATH'] = before;
    }
  });

  it('decodes key frames only above 1080p, decides so once, and hears everything all the same', async () => {
    const large = [
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=2048x1152:r=10',
      '-vf',
      'noise=alls=20:allf=t',
      '-t',
      '4',
    ];
    execFileSync('ffmpeg', [...FFMPEG, ...large, ...H264, '-g', '5', inFolder('large.mp4')]);
    await withCamera(inFolder('large.mp4'), async ({ camera, started }) => {
      await reached(camera, 'ended', 20_000);
      expect(camera.status().details).toMatchObject({ decoded: 'key frames', restarts: 1 });
      expect(started.length).toBe(2);
      expect(started.map(({ commandLine }) => commandLine.includes('-skip_frame nokey'))).toEqual([
        false,
        true,
      ]);
      const size = statSync(inFolder('large.mp4')).size;
      expect(camera.status().details['bytes']).toBeGreaterThan(0.98 * size);
    });
  });

  it('names a video device that is not there', async () => {
    await withCamera('/dev/video4711', async ({ camera }) => {
      await failedWith(camera, 'ERR_CAMERA_GONE');
      expect(camera.status().reason?.message).toContain('/dev/video4711');
      expect(camera.status().reason?.hint).toContain('group "video"');
      expect(camera.status().details['codec']).toBe('unknown');
    });
  });
});
