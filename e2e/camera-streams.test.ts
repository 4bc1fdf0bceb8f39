import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { type CameraSource, cameraSource } from '../packages/lamplighter/dist/sources/camera/camera.js';
import {
  MjpegTestServer,
  playing,
} from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { freePorts } from './processes.fixture.js';
import { lamps, makeVideo } from './videos.fixture.js';

const LIVE = ['-nostdin', '-loglevel', 'error', '-re', '-f', 'lavfi', '-i', lamps()];
const H264 = [
  '-c:v',
  'libx264',
  '-preset',
  'ultrafast',
  '-tune',
  'zerolatency',
  '-g',
  '15',
  '-pix_fmt',
  'yuv420p',
];
const HEARD_MS = 30_000;

let folder: string;
const children = new Set<ChildProcess>();
const cameras: CameraSource[] = [];
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-streams-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(async () => {
  await Promise.all(cameras.splice(0).map((camera) => camera.stop()));
  for (const child of children) {
    children.delete(child);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});

function run(...args: readonly string[]): ChildProcess {
  const child = spawn('ffmpeg', [...LIVE, ...H264, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.add(child);
  return child;
}

/** A camera that runs, and the processes it started. */
async function watch(url: string) {
  const pids: number[] = [];
  const environment = systemEnvironment();
  const camera = cameraSource(
    { name: 'wall', url },
    {
      ...environment,
      spawn(command, args, options) {
        const child = environment.spawn(command, args, options);
        const isTrial = !args.some((argument) => /ffmpeg$|decoder-process/.test(argument));
        if (child.pid !== undefined && !isTrial) pids.push(child.pid);
        return child;
      },
    },
  );
  cameras.push(camera);
  let heardBytes = 0;
  await camera.start({ hear: (bytes) => (heardBytes += bytes.length) }, new AbortController().signal);
  return { camera, pids, heardBytes: () => heardBytes };
}

/** A server on 127.0.0.1; `serve` answers. */
async function served(
  serve: (path: string, response: http.ServerResponse) => void,
  body: (address: string) => Promise<void>,
): Promise<void> {
  const server = http.createServer((request, response) => serve(request.url ?? '', response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await body(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    await Promise.all(cameras.splice(0).map((camera) => camera.stop()));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function expectVideo(url: string): Promise<void> {
  const { camera, pids, heardBytes } = await watch(url);
  await until('a picture', () => camera.latestPreview() !== undefined, HEARD_MS);
  expect(camera.status()).toMatchObject({
    basis: { simulated: false },
    details: { input: 'ffmpeg', codec: 'h264', decoded: 'all frames' },
  });
  expect(heardBytes()).toBeGreaterThan(5_000);
  const seen = pids.flatMap((pid) => ['cmdline', 'environ'].map((file) => processFile(pid, file))).join(' ');
  expect(seen).toContain('ffmpeg');
  expect(seen + JSON.stringify(camera.status())).not.toMatch(/sesame|open-me/);
}

/** What /proc says of a process; nothing of one that is gone. */
function processFile(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

needs('ffmpeg', 'setpriv')('streams that are handed to ffmpeg', () => {
  it('hears MPEG-TS over HTTP, and shows no password', async () => {
    await served(
      (_path, response) => void run('-f', 'mpegts', 'pipe:1').stdout?.pipe(response),
      (address) => expectVideo(`ffmpeg+http://alice:sesame@${address}/live.ts?token=open-me`),
    );
  });

  it('hears HLS, and lets its playlist name nothing on this machine', async () => {
    const segment = path.join(folder, 'segment.ts');
    makeVideo(segment, { source: lamps(), seconds: 4, rest: ['-f', 'mpegts'] });
    const list = (entry: string) =>
      `#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n${entry}\n#EXT-X-ENDLIST\n`;
    const serve = (name: string, response: http.ServerResponse) => {
      if (name.startsWith('/segment.ts')) response.end(readFileSync(segment));
      else response.end(list(name.startsWith('/good') ? 'segment.ts' : `file://${segment}`));
    };
    await served(serve, async (address) => {
      const { camera } = await watch(`ffmpeg+http://${address}/evil.m3u8?token=open-me`);
      await until('it is refused', () => camera.status().state === 'failed', HEARD_MS);
      expect(camera.status()).toMatchObject({ details: { bytes: 0 }, reason: { code: 'ERR_CAMERA_GONE' } });
      expect(JSON.stringify(camera.status())).not.toContain('open-me');
      await expectVideo(`ffmpeg+http://${address}/good.m3u8?token=open-me`);
    });
  });

  it('hears RTMP', async () => {
    const { port } = await freePorts('port');
    run('-f', 'flv', '-listen', '1', `rtmp://127.0.0.1:${port}/live/open-me`);
    await expectVideo(`rtmp://127.0.0.1:${port}/live/open-me`);
  });

  it('hears SRT', async () => {
    const { port } = await freePorts('port');
    run('-f', 'mpegts', `srt://127.0.0.1:${port}?mode=listener&passphrase=open-me-please`);
    await expectVideo(`srt://127.0.0.1:${port}?passphrase=open-me-please`);
  });

  it('hears MPEG-TS over UDP', async () => {
    const { port } = await freePorts('port');
    run('-f', 'mpegts', `udp://127.0.0.1:${port}?pkt_size=1316`);
    await expectVideo(`ffmpeg+udp://127.0.0.1:${port}`);
  });
});

needs('ffmpeg', 'setpriv')('a live stream whose pictures grow', () => {
  it('is taken up again with key frames only, and stays so when it is connected again', async () => {
    const small = path.join(folder, 'small.ts');
    const large = path.join(folder, 'large.ts');
    makeVideo(small, { source: lamps(), seconds: 4, rest: ['-f', 'mpegts'] });
    const noise = 'testsrc2=s=2048x1152:r=10,noise=alls=20:allf=t';
    makeVideo(large, { source: noise, seconds: 3, rest: ['-g', '5', '-f', 'mpegts'] });
    let connections = 0;
    const serve = (_path: string, response: http.ServerResponse) => {
      connections += 1;
      if (connections === 1) response.write(readFileSync(small));
      response.end(readFileSync(large));
    };
    await served(serve, async (address) => {
      const { camera } = await watch(`ffmpeg+http://${address}/live.ts`);
      await until('the third connection', () => connections >= 3, HEARD_MS);
      await until('video', () => ['ok', 'degraded'].includes(camera.status().state), HEARD_MS);
      expect(camera.status().details).toMatchObject({ codec: 'h264', decoded: 'key frames' });
      // The change of size was seen, though it took a connection.
      await until('the fault', () => String(camera.status().details['faults']).includes('changed'), HEARD_MS);
    });
  });
});

needs(
  'ffmpeg',
  'setpriv',
  'prlimit',
  'unshare',
)('what a decoder may still do', () => {
  const limit = (pid: number, name: string) =>
    new RegExp(`^${name} +(\\S+) +(\\S+)`, 'm').exec(processFile(pid, 'limits'))?.slice(1, 3);

  function expectShutIn(pid: number): void {
    const status = processFile(pid, 'status');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
      expect(status).toMatch(new RegExp(`^${set}:\\s+0{16}$`, 'm'));
    }
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(limit(pid, 'Max file size')).toEqual(['0', '0']);
    expect(limit(pid, 'Max core file size')).toEqual(['0', '0']);
    expect(limit(pid, 'Max open files')).toEqual(['64', '64']);
  }

  const namespaceOf = (pid: number | 'self', kind: string) => readlinkSync(`/proc/${pid}/ns/${kind}`);

  it('is little, for ffmpeg on a file: no network, no file written, bounded memory', async () => {
    const file = path.join(folder, 'long.mp4');
    makeVideo(file, { source: lamps(), seconds: 30 });
    const { camera, pids } = await watch(file);
    await until('a picture', () => camera.latestPreview() !== undefined, HEARD_MS);
    const [pid = 0] = pids;
    expectShutIn(pid);
    expect(limit(pid, 'Max address space')).toEqual([String(2 ** 30), String(2 ** 30)]);
    const words = String(camera.status().details['sandbox']);
    // Where the kernel allows no user namespaces the status must say so.
    expect(words.includes('no network')).toBe(namespaceOf(pid, 'net') !== namespaceOf('self', 'net'));
  });

  it('is little, for the decoder of JPEGs', async () => {
    const server = new MjpegTestServer();
    await server.listen();
    server.play(playing());
    try {
      const { camera, pids } = await watch(server.url);
      await until('a picture', () => camera.latestPreview() !== undefined, HEARD_MS);
      const [pid = 0] = pids;
      expectShutIn(pid);
      expect(limit(pid, 'Max data size')).toEqual([String(2 ** 30), String(2 ** 30)]);
      const words = String(camera.status().details['sandbox']);
      expect(words.includes('no network')).toBe(namespaceOf(pid, 'net') !== namespaceOf('self', 'net'));
    } finally {
      await Promise.all(cameras.splice(0).map((camera) => camera.stop()));
      await server.close();
    }
  });

  it('is little even for ffmpeg on a network camera, which keeps its network', async () => {
    await served(
      (_path, response) => void run('-f', 'mpegts', 'pipe:1').stdout?.pipe(response),
      async (address) => {
        const { camera, pids } = await watch(`ffmpeg+http://${address}/live.ts`);
        await until('a picture', () => camera.latestPreview() !== undefined, HEARD_MS);
        const [pid = 0] = pids;
        expectShutIn(pid);
        expect(namespaceOf(pid, 'net')).toBe(namespaceOf('self', 'net'));
        if (process.getuid?.() === 0) {
          expect(processFile(pid, 'status')).toMatch(/^Uid:\s+65534\s+65534/m);
          expect(processFile(pid, 'status')).toMatch(/^CapBnd:\s+0{16}$/m);
          expect(String(camera.status().details['sandbox'])).toContain('as nobody');
        }
      },
    );
  });

  it('cannot be made to write a file, whoever asks', async () => {
    const { sandboxFor } = await import('../packages/lamplighter/dist/sources/camera/sandbox.js');
    const sandbox = await sandboxFor({ network: false, ownFiles: true }, systemEnvironment());
    if (sandbox === undefined) throw new Error('no sandbox');
    const target = path.join(folder, 'written');
    writeFileSync(target, '');
    const child = spawn(sandbox.command, [...sandbox.prefix, '/bin/sh', '-c', `echo x > ${target}`]);
    await once(child, 'close');
    expect(readFileSync(target, 'latin1')).toBe('');
  });
});
