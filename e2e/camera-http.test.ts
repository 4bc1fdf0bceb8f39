import type http from 'node:http';
import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import type { SourceReport } from '../packages/lamplighter/dist/wire/status.js';
import {
  type CameraOptions,
  type CameraSource,
  cameraSource,
} from '../packages/lamplighter/dist/sources/camera/camera.js';
import {
  MjpegTestServer,
  begin,
  part,
  playing,
  testJpeg,
} from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { filming } from './lamps.fixture.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';

/** The truth about a connection stands in the status so soon. */
const TRUTH_MS = 5_000;
/** The truth about a picture: 10 s from the fault. */
const VERDICT_MS = 12_000;
/** One back-off (5 s at most), one connection, one frame. */
const HEARD_MS = 10_000;
/** The same, and long enough without a fault to be trusted again. */
const RECOVERY_MS = 45_000;

/** One camera before one server, for the length of a test. */
class Stage {
  readonly server = new MjpegTestServer();
  readonly node = new AbortController();
  readonly heard: Buffer[] = [];
  #camera: CameraSource | undefined;

  get camera(): CameraSource {
    this.#camera ??= this.watch();
    return this.#camera;
  }

  watch(options: Partial<CameraOptions> = {}): CameraSource {
    this.#camera = cameraSource({ name: 'wall', url: this.server.url, ...options }, systemEnvironment());
    return this.#camera;
  }

  async start(options: Partial<CameraOptions> = {}): Promise<void> {
    const camera = this.watch(options);
    await camera.start({ hear: (bytes) => this.heard.push(Buffer.from(bytes)) }, this.node.signal);
  }

  /** Waits until the status says this. */
  state(wanted: SourceReport['state'], code?: string, deadlineMs = TRUTH_MS) {
    const holds = () => {
      const { state, reason } = this.camera.status();
      return state === wanted && reason?.code === code;
    };
    return until(`state ${wanted} ${code ?? ''}`, holds, deadlineMs);
  }

  /** Waits until it is heard: at first, or again after a fault, which it remembers for a while. */
  heardAgain() {
    return until('video', () => ['ok', 'degraded'].includes(this.camera.status().state), HEARD_MS);
  }

  healthy() {
    const holds = () => {
      const { state, details } = this.camera.status();
      return state === 'ok' && details['picture'] === 'healthy';
    };
    return until('a healthy picture', holds, RECOVERY_MS);
  }
}

/** Runs a test on a stage of its own, and leaves nothing of it behind. */
function onStage(body: (stage: Stage) => Promise<void>): () => Promise<void> {
  return async () => {
    const stage = new Stage();
    await stage.server.listen();
    stage.server.play(filming());
    try {
      await body(stage);
    } finally {
      await stage.camera.stop();
      expect(stage.camera.status().state).toBe('stopped');
      await until('no connection is left', () => stage.server.clients === 0);
      await stage.server.close();
    }
  };
}

describe.concurrent('camera over HTTP', () => {
  it(
    'hears every frame whole, sees it move, and answers rounds',
    onStage(async (stage) => {
      stage.watch();
      expect(stage.camera).toMatchObject({ name: 'wall', kind: 'camera', position: 'outside' });
      expect(stage.camera.status().state).toBe('starting');
      const sent: Buffer[] = [];
      stage.server.play(filming({ sent }));
      await stage.start();
      await stage.healthy();
      const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
      const served = new Set(sent.map(hex));
      expect(stage.heard.every((frame) => served.has(hex(frame)))).toBe(true);
      expect(new Set(stage.heard.map(hex)).size).toBe(stage.heard.length);

      const { basis, details } = stage.camera.status();
      expect(basis).toEqual({ simulated: false, degraded: false, physical: true });
      expect(details).toMatchObject({
        input: 'http-mjpeg',
        codec: 'mjpeg',
        url: stage.server.url,
        width: 160,
        height: 120,
        frames: stage.heard.length,
        bytes: stage.heard.reduce((sum, frame) => sum + frame.length, 0),
        restarts: 0,
        decoderRestarts: 0,
        faults: '',
      });
      for (const name of ['meanLuma', 'livingShare', 'noiseRatio', 'noiseBits', 'replayBestZ']) {
        expect(details).toHaveProperty(name);
      }
      expect(details['framesPerSecond']).toBeGreaterThan(1);
      expect(stage.camera.latestPreview()).toMatchObject({ width: 80, height: 60 });

      const answers = [
        await stage.camera.sample(AbortSignal.timeout(5000)),
        await stage.camera.sample(AbortSignal.timeout(5000)),
      ];
      expect(answers.map((answer) => answer?.length)).toEqual([64, 64]);
      expect(answers[0]).not.toEqual(answers[1]);
    }),
  );

  it.each([
    ['the server says so', { headers: { 'Lamplighter-Basis': 'simulated' } }, {}],
    ['the configuration says so', {}, { simulated: true }],
  ])('is called simulated when %s', (_name, act, options) =>
    onStage(async (stage) => {
      stage.server.play(filming(act));
      await stage.start(options);
      await stage.healthy();
      expect(stage.camera.status().basis).toEqual({ simulated: true, degraded: false, physical: false });
    })(),
  );

  it(
    'uses credentials and shows none',
    onStage(async (stage) => {
      let authorization: string | undefined;
      const play = filming();
      stage.server.play((response, stop, request) => {
        authorization = request.headers.authorization;
        if (authorization === undefined) response.writeHead(401).end();
        else play(response, stop, request);
      });
      await stage.start({ url: stage.server.url.replace('//', '//al%40ice:s%3Acret@') });
      await stage.heardAgain();
      expect(authorization).toBe(`Basic ${Buffer.from('al@ice:s:cret').toString('base64')}`);
      expect(JSON.stringify(stage.camera.status())).not.toMatch(/ice|cret/);
    }),
  );

  it(
    'says that nobody listens, and comes up when somebody does',
    onStage(async (stage) => {
      const { port } = stage.server;
      await stage.server.close();
      await stage.start();
      await stage.state('failed', 'ERR_CAMERA_GONE');
      expect(await stage.camera.sample(AbortSignal.timeout(50))).toBeUndefined();
      expect(stage.camera.status().basis.physical).toBe(false);
      stage.server.play(filming());
      await stage.server.listen(port);
      await stage.healthy();
      expect(stage.camera.status().details['restarts']).toBeGreaterThan(0);
    }),
  );

  it(
    'says that the connection was cut in the middle of a frame, and recovers',
    onStage(async (stage) => {
      stage.server.play(playing());
      await stage.start();
      await stage.heardAgain();
      const frame = part(testJpeg(99, 640, 480));
      stage.server.play((response) => {
      begin(response);
      response.write(frame.subarray(0, frame.length / 2), () => response.socket?.destroy());
    }, { cutOthers: true }); // prettier-ignore
      await stage.state('failed', 'ERR_CAMERA_GONE');
      const sent = new Set(Array.from({ length: 16 }, (_, seed) => testJpeg(seed).toString('hex')));
      expect(stage.heard.every((bytes) => sent.has(bytes.toString('hex')))).toBe(true);
      stage.server.play(filming());
      await stage.heardAgain();
    }),
  );

  it(
    'says that the stream has ended, and recovers',
    onStage(async (stage) => {
      stage.server.play((response) => {
        begin(response);
        response.end(part(testJpeg(1)));
      });
      await stage.start();
      await stage.state('failed', 'ERR_CAMERA_GONE');
      expect(stage.heard.length).toBeGreaterThan(0);
      stage.server.play(filming());
      await stage.heardAgain();
    }),
  );

  const silences: [name: string, act: (response: http.ServerResponse) => void][] = [
    ['sends nothing', () => undefined],
    ['sends a header and nothing more', (response) => begin(response)],
    [
      'sends a frame byte by byte',
      (response) => {
        begin(response);
        response.write(part(testJpeg(1)).subarray(0, 200));
        const timer = setInterval(() => response.write('x'), 20);
        response.once('close', () => clearInterval(timer));
      },
    ],
  ];
  it.each(silences)('says that it stalls when the camera %s, and recovers', (_name, act) =>
    onStage(async (stage) => {
      await stage.start();
      await stage.heardAgain();
      stage.server.play(act, { cutOthers: true });
      await stage.state('failed', 'ERR_CAMERA_STALLED', 2 * TRUTH_MS);
      stage.server.play(filming(), { cutOthers: true });
      await stage.heardAgain();
    })(),
  );

  it(
    'says within 5 s that a stream has stopped, with the connection still open',
    onStage(async (stage) => {
      await stage.start();
      await stage.healthy();
      stage.server.play(() => undefined);
      await stage.state('failed', 'ERR_CAMERA_STALLED');
      stage.server.play(filming(), { cutOthers: true });
      await stage.healthy();
    }),
  );

  const garbage: [name: string, code: string, act: (response: http.ServerResponse) => void][] = [
    ['a web page', 'ERR_CAMERA_FORMAT', (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>')],
    ['a redirect', 'ERR_CAMERA_GONE', (response) => response.writeHead(302, { Location: 'http://127.0.0.1:1/' }).end()],
    ['a refusal', 'ERR_CAMERA_GONE', (response) => response.writeHead(401).end()],
    ['noise instead of parts', 'ERR_CAMERA_FORMAT', (response) => { begin(response); response.write(Buffer.alloc(100_000, 0x55)); }],
    ['a frame without end', 'ERR_CAMERA_FRAME_TOO_LARGE', (response) => { begin(response); response.write('--lamps\r\n\r\n'); response.write(Buffer.alloc(200_000, 0x55)); }],
    ['an announced giant', 'ERR_CAMERA_FRAME_TOO_LARGE', (response) => { begin(response); response.write('--lamps\r\nContent-Length: 9999999999\r\n'); }],
    ['endless part headers', 'ERR_CAMERA_FORMAT', (response) => { begin(response); response.write(`--lamps\r\n${'a: b\r\n'.repeat(3000)}`); }],
    ['no HTTP at all', 'ERR_CAMERA_GONE', (response) => response.socket?.end('SSH-2.0-OpenSSH\r\n')],
    ['endless HTTP headers', 'ERR_CAMERA_GONE', (response) => response.socket?.write(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(10_000)}`)],
  ]; // prettier-ignore
  it.each(garbage)('says that the camera sends %s, and recovers', (_name, code, act) =>
    onStage(async (stage) => {
      stage.server.play(act);
      await stage.start({ maxFrameBytes: 100_000 });
      await until(code, () => stage.camera.status().reason?.code === code, TRUTH_MS);
      expect(stage.camera.status().state).toBe('failed');
      stage.server.play(filming(), { cutOthers: true });
      await stage.heardAgain();
    })(),
  );

  it(
    'mixes frames that are no pictures, but says so and gives them no credit',
    onStage(async (stage) => {
      stage.server.play((response, stop) => {
        begin(response);
        const timer = setInterval(() => response.write(part(Buffer.from('not a JPEG'))), 40);
        stop.addEventListener('abort', () => clearInterval(timer), { once: true });
      });
      await stage.start();
      await stage.state('degraded', 'ERR_CAMERA_NOT_DECODABLE');
      expect(stage.heard.at(-1)?.toString()).toBe('not a JPEG');
      expect(stage.camera.status().basis.physical).toBe(false);
      stage.server.play(filming(), { cutOthers: true });
      await stage.healthy();
    }),
  );

  it(
    'mixes a frozen picture, but says so, gives it no credit, and trusts it again some time after it moves',
    onStage(async (stage) => {
      const scene = { still: false };
      stage.server.play(filming(scene));
      await stage.start();
      await stage.healthy();
      scene.still = true;
      await stage.state('degraded', 'ERR_CAMERA_FROZEN', VERDICT_MS);
      const count = stage.heard.length;
      await until('frames are still heard', () => stage.heard.length > count + 5);
      const { basis, details } = stage.camera.status();
      expect(basis).toEqual({ simulated: false, degraded: true, physical: false });
      expect(String(details['faults']).split(',')).toContain('frozen');
      scene.still = false;
      const movesAgainMs = performance.now();
      await stage.healthy();
      // Not at the first picture that moves.
      expect(performance.now() - movesAgainMs).toBeGreaterThan(5_000);
    }),
  );

  it(
    'lets everything go when the node is aborted',
    onStage(async (stage) => {
      await stage.start();
      await stage.heardAgain();
      await stage.camera.sample(AbortSignal.timeout(1000));
      stage.node.abort();
      expect(stage.camera.status().state).toBe('stopped');
      await until('the connection is closed', () => stage.server.clients === 0);
      await stage.camera.sample(AbortSignal.timeout(1000));
      expect(await stage.camera.sample(new AbortController().signal)).toBeUndefined();
    }),
  );
});
