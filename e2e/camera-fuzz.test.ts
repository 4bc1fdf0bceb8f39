import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { type CameraSource, cameraSource } from '../packages/lamplighter/dist/sources/camera/camera.js';
import {
  MjpegTestServer,
  begin,
  part,
  testJpeg,
} from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { observeCamera } from '../packages/lamplighter/dist/sources/camera/observation.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';
import { isFull, needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { residentBytes, runs } from './proc.fixture.js';
import { ffmpeg, lamps, makeVideo } from './videos.fixture.js';

/** Files of each kind that are damaged at random. */
const ROUNDS = isFull ? 200 : 6;
/** What a run over hostile video may leave behind in this process, bytes. */
const GROWTH_BYTES = 120e6;

let folder: string;
const inFolder = (name: string) => path.join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-fuzz-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Numbers that are the same in every run, so that a failure can be looked at again (Marsaglia's xorshift32). */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** An environment that notes whom it started, and the most memory each of them was seen to have. */
function watched() {
  const environment = systemEnvironment();
  const most = new Map<number, number>();
  const look = setInterval(() => {
    for (const [pid, before] of most) {
      try {
        most.set(pid, Math.max(before, residentBytes(pid) || 0));
      } catch {
        // It has ended.
      }
    }
  }, 20);
  const spying: typeof environment = {
    ...environment,
    spawn(command, args, options) {
      const child = environment.spawn(command, args, options);
      if (child.pid !== undefined) most.set(child.pid, 0);
      return child;
    },
  };
  return { environment: spying, most, end: () => clearInterval(look) };
}

/** Looks at a file; whatever is in it, that ends, says what it saw with a code, and leaves no process behind. */
async function survives(file: string): Promise<void> {
  const { environment, most, end } = watched();
  try {
    const { verdict, error } = await observeCamera({ url: file }, environment, new AbortController().signal);
    expect(['healthy', 'degraded', 'unknown']).toContain(verdict);
    if (error !== undefined) {
      expect(error.code).toMatch(/^ERR_(CAMERA_[A-Z_]+|CHILD_EXITED)$/);
      // What it complains of goes to logs and terminals.
      expect(error.message).toMatch(/^[\x20-\x7e]{1,600}$/);
    }
    for (const [pid, bytes] of most) {
      expect(bytes).toBeLessThan(1.2e9);
      expect(runs(pid)).toBe(false);
    }
  } finally {
    end();
  }
}

/** H.264 (ITU-T H.264, 7.3.2.1): a sequence header that claims 65,536 × 65,536 pixels, and a picture of it. */
function hugeH264(): Buffer {
  let bits = '';
  const u = (value: number, length: number) => (bits += value.toString(2).padStart(length, '0'));
  const ue = (value: number) => {
    const code = (value + 1).toString(2);
    bits += '0'.repeat(code.length - 1) + code;
  };
  const unit = (header: number) => {
    const padded = `${bits}1`.padEnd(Math.ceil((bits.length + 1) / 8) * 8, '0');
    const bytes = (padded.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2));
    bits = '';
    return Buffer.from([0, 0, 0, 1, header, ...bytes]);
  };
  u(66, 8);
  u(0, 8);
  u(62, 8);
  ue(0);
  ue(0);
  ue(0);
  ue(0);
  ue(1);
  u(0, 1);
  ue(4095);
  ue(4095);
  u(1, 1);
  u(1, 1);
  u(0, 1);
  u(0, 1); // prettier-ignore
  const sequence = unit(0x67);
  ue(0);
  ue(0);
  u(0, 1);
  u(0, 1);
  ue(0);
  ue(0);
  ue(0);
  u(0, 1);
  u(0, 2);
  ue(0);
  ue(0);
  ue(0);
  u(0, 1);
  u(0, 1);
  u(0, 1); // prettier-ignore
  const picture = unit(0x68);
  ue(0);
  ue(7);
  ue(0);
  u(0, 4);
  ue(0);
  u(0, 4);
  u(0, 2);
  ue(0); // prettier-ignore
  const slice = Buffer.concat([unit(0x65), Buffer.alloc(4000, 0xa5)]);
  return Buffer.concat(Array.from({ length: 50 }, () => [sequence, picture, slice]).flat());
}

/** A JPEG that claims 65,535 × 65,535 pixels. */
function hugeJpeg(): Buffer {
  const jpeg = Buffer.from(testJpeg(1, 160, 120));
  const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
  jpeg.writeUInt16BE(65_535, frame + 5);
  jpeg.writeUInt16BE(65_535, frame + 7);
  return jpeg;
}

needs(
  'ffmpeg',
  'setpriv',
  'prlimit',
)('hostile video through ffmpeg', () => {
  const KINDS = ['mp4', 'mkv', 'ts', 'h264', 'avi', 'flv'] as const;
  const goods = new Map<string, Buffer>();
  beforeAll(() => {
    makeVideo(inFolder('good.mp4'), { source: lamps('160x120'), seconds: 2 });
    for (const kind of KINDS) {
      ffmpeg('-i', inFolder('good.mp4'), '-c', 'copy', inFolder(`copy.${kind}`));
      goods.set(kind, readFileSync(inFolder(`copy.${kind}`)));
    }
  });

  async function eachSurvives(
    kind: string,
    damage: (good: Buffer, random: (below: number) => number) => Buffer,
  ) {
    const good = goods.get(kind) ?? Buffer.alloc(0);
    const before = process.memoryUsage().rss;
    for (let round = 1; round <= ROUNDS; round++) {
      const file = inFolder(`bad.${kind}`);
      writeFileSync(file, damage(good, seeded(round * 7919)));
      await survives(file);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(GROWTH_BYTES);
  }

  it.each(isFull ? KINDS : KINDS.slice(0, 3))('survives a truncated %s', (kind) =>
    eachSurvives(kind, (good, random) => good.subarray(0, random(good.length))),
  );

  it.each(isFull ? KINDS : KINDS.slice(0, 3))('survives a damaged %s', (kind) =>
    eachSurvives(kind, (good, random) => {
      const bad = Buffer.from(good);
      // Few and many damaged bytes; the beginning, where the headers are, more often than the rest.
      const count = 1 << random(12);
      for (let n = 0; n < count; n++) bad[random(random(2) === 0 ? 2048 : bad.length)] = random(256);
      return bad;
    }),
  );

  it('survives a stream that begins well and goes on as noise', () =>
    eachSurvives('ts', (good, random) => {
      const noise = Buffer.from(Array.from({ length: 200_000 }, () => random(256)));
      return Buffer.concat([good, noise, good.subarray(random(188)), noise]);
    }));

  it.each([
    ['h264', hugeH264],
    ['mjpeg', () => Buffer.concat(Array.from({ length: 20 }, hugeJpeg))],
  ])('takes no memory for an enormous picture (%s)', async (kind, make) => {
    const file = inFolder(`huge.${kind}`);
    writeFileSync(file, make());
    await survives(file);
    const { error } = await observeCamera({ url: file }, systemEnvironment(), new AbortController().signal);
    expect(error?.code).toMatch(/^ERR_(CAMERA_FORMAT|CAMERA_NOT_DECODABLE|CHILD_EXITED)$/);
  });
});

/** One camera for the length of a test; gives what it says. */
async function withCamera(url: string, body: (camera: CameraSource) => Promise<void>): Promise<void> {
  const { environment, most, end } = watched();
  const before = process.memoryUsage().rss;
  const camera = cameraSource({ name: 'wall', url, stallMs: 1_000 }, environment);
  await camera.start({ hear: () => undefined }, new AbortController().signal);
  try {
    await body(camera);
  } finally {
    await camera.stop();
    end();
  }
  expect(process.memoryUsage().rss - before).toBeLessThan(GROWTH_BYTES);
  for (const [pid, bytes] of most) {
    expect(bytes).toBeLessThan(4e8);
    expect(runs(pid)).toBe(false);
  }
}

const saysSo = (camera: CameraSource, codes: readonly string[]) =>
  until(
    codes.join(' or '),
    () => camera.status().state === 'failed' && codes.includes(camera.status().reason?.code ?? ''),
    30_000,
  );

/** A server that says these bytes to whoever connects, again and again when `everyMs` is given. */
async function speaking(
  bytes: Buffer,
  options: { everyMs?: number; first?: Buffer },
  body: (port: number) => Promise<void>,
): Promise<void> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    socket.once('data', () => {
      if (options.first !== undefined) socket.write(options.first);
      if (options.everyMs === undefined) socket.end(bytes);
      else {
        const timer = setInterval(() => !socket.writableNeedDrain && socket.write(bytes), options.everyMs);
        socket.once('close', () => clearInterval(timer));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  try {
    await body(typeof address === 'object' && address !== null ? address.port : 0);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

needs('ffmpeg', 'setpriv')('hostile servers through ffmpeg', () => {
  const GONE = ['ERR_CAMERA_GONE', 'ERR_CAMERA_STALLED', 'ERR_CHILD_EXITED', 'ERR_CAMERA_FORMAT'];
  const NOISE = Buffer.from(Array.from({ length: 60_000 }, (_, n) => (n * 7919 + (n >> 3)) % 251));
  const HEADER = Buffer.from(`X-Endless: ${'a'.repeat(1000)}\r\n`);

  it.concurrent.each(['rtsp', 'ffmpeg+http', 'rtmp', 'ffmpeg+tcp'])(
    'names garbage from a %s server',
    (scheme) =>
      speaking(NOISE, {}, (port) =>
        withCamera(`${scheme}://127.0.0.1:${port}/wall`, async (camera) => void (await saysSo(camera, GONE))),
      ),
  );

  it.concurrent.each([
    ['rtsp', 'RTSP/1.0 200 OK\r\nCSeq: 1\r\n'],
    ['ffmpeg+http', 'HTTP/1.1 200 OK\r\n'],
  ])('names endless headers of a %s server, and does not keep them', (scheme, first) =>
    speaking(HEADER, { first: Buffer.from(first), everyMs: 1 }, (port) =>
      withCamera(`${scheme}://127.0.0.1:${port}/wall`, async (camera) => void (await saysSo(camera, GONE))),
    ),
  );

  it.concurrent.each([
    ['rtsp', ''],
    ['ffmpeg+http', 'HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n'],
  ])('names a %s server that drips', (scheme, first) =>
    speaking(Buffer.from('G'), { first: Buffer.from(first), everyMs: 50 }, (port) =>
      withCamera(`${scheme}://127.0.0.1:${port}/wall`, async (camera) => void (await saysSo(camera, GONE))),
    ),
  );
});

describe('hostile video over HTTP', () => {
  const server = new MjpegTestServer();
  beforeAll(() => server.listen());
  afterAll(() => server.close());

  const sending =
    (jpeg: () => Buffer) =>
    (response: http.ServerResponse, stop: AbortSignal): void => {
      begin(response);
      const timer = setInterval(() => response.write(part(jpeg())), 20);
      stop.addEventListener('abort', () => clearInterval(timer), { once: true });
    };

  it('takes no memory for a JPEG that claims 65,535 × 65,535 pixels', async () => {
    server.play(sending(hugeJpeg));
    await withCamera(server.url, async (camera) => {
      await until(
        'it is called so',
        () => camera.status().reason?.code === 'ERR_CAMERA_NOT_DECODABLE',
        15_000,
      );
      expect(camera.status()).toMatchObject({ state: 'degraded', details: { decoderRestarts: 0 } });
    });
  });

  it('lives through thousands of damaged JPEGs, and sees the good one behind them', async () => {
    const good = testJpeg(3, 160, 120);
    const random = seeded(4711);
    let sent = 0;
    let isGood = false;
    server.play(
      sending(() => {
        sent += 1;
        if (isGood) return good;
        const bad = Buffer.from(good.subarray(0, 1 + random(good.length)));
        const count = 1 << random(8);
        for (let n = 0; n < count; n++) bad[random(bad.length)] = random(256);
        return bad;
      }),
    );
    await withCamera(server.url, async (camera) => {
      await until('many were sent', () => sent > (isFull ? 5_000 : 400), 200_000);
      isGood = true;
      const preview = camera.latestPreview();
      await until('the good one is seen', () => camera.latestPreview() !== preview, 15_000);
      expect(['ok', 'degraded']).toContain(camera.status().state);
    });
  });
});

it.runIf(isFull)(
  'keeps its memory over an hour of accelerated video',
  async () => {
    const file = inFolder('minute.mp4');
    makeVideo(file, { source: lamps('160x120', 10), seconds: 60 });
    execFileSync('ffmpeg', [
      '-v',
      'error',
      '-y',
      '-stream_loop',
      '59',
      '-i',
      file,
      '-c',
      'copy',
      inFolder('hour.mp4'),
    ]);
    const samples: number[] = [];
    const onProgress = () => samples.push(process.memoryUsage().rss);
    const { input } = await observeCamera(
      { url: inFolder('hour.mp4'), onProgress },
      systemEnvironment(),
      new AbortController().signal,
    );
    expect(input['pictures']).toBe(36_000);
    const third = Math.floor(samples.length / 3);
    const most = (from: number, to: number) => Math.max(...samples.slice(from, to));
    // What it takes in the first third it keeps; nothing grows with the length of the video.
    expect(most(2 * third, samples.length) - most(0, third)).toBeLessThan(30e6);
  },
  900_000,
);
