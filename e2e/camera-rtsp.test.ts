import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { type CameraSource, cameraSource } from '../packages/lamplighter/dist/sources/camera/camera.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';

const LIVE = ['-nostdin', '-loglevel', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=25'];
const NOISY = ['-vf', 'noise=alls=20:allf=t'];
const H264 = [
  '-c:v',
  'libx264',
  '-preset',
  'ultrafast',
  '-tune',
  'zerolatency',
  '-g',
  '25',
  '-pix_fmt',
  'yuv420p',
];
const TRUTH_MS = 5_000;
/** A fault is remembered for 15 s after the picture is good again. */
const RECOVERY_MS = 60_000;

const children = new Set<ChildProcess>();
const cameras: CameraSource[] = [];

afterEach(async () => {
  await Promise.all(cameras.splice(0).map((camera) => camera.stop()));
  await Promise.all([...children].map((child) => end(child)));
});

function run(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: 'ignore' });
  children.add(child);
  return child;
}

async function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
  children.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** Ports that were free a moment ago: for programs that cannot say which ones they took. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => portOf(server));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function portOf(server: net.Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function listens(port: number): Promise<void> {
  const tryOnce = () =>
    new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  const deadline = Date.now() + 15_000;
  while (!(await tryOnce())) if (Date.now() > deadline) throw new Error(`nobody listens on ${port}`);
}

async function watch(
  url: string,
): Promise<{ camera: CameraSource; heardBytes: () => number; pids: readonly number[] }> {
  let heardBytes = 0;
  const pids: number[] = [];
  const environment = systemEnvironment();
  const spying: typeof environment = {
    ...environment,
    spawn(command, args, options) {
      const child = environment.spawn(command, args, options);
      if (child.pid !== undefined) pids.push(child.pid);
      return child;
    },
  };
  const camera = cameraSource({ name: 'wall', url }, spying);
  cameras.push(camera);
  await camera.start({ hear: (bytes) => void (heardBytes += bytes.length) }, new AbortController().signal);
  return { camera, heardBytes: () => heardBytes, pids };
}

const healthy = (camera: CameraSource) =>
  until(
    'a healthy picture',
    () => camera.status().state === 'ok' && camera.status().details['picture'] === 'healthy',
    RECOVERY_MS,
  );

/** Heard, at first or again after a fault. */
const heard = (camera: CameraSource) =>
  until('video', () => ['ok', 'degraded'].includes(camera.status().state), RECOVERY_MS);

needs(
  'ffmpeg',
  'setpriv',
  'rtsp-server-perl',
)('RTSP pulled from rtsp-server-perl', () => {
  const serve = async (clientPort: number, sourcePort: number) => {
    const loopback = ['--client_listen_address', '127.0.0.1', '--source_listen_address', '127.0.0.1'];
    const server = run('rtsp-server-perl', ['-c', String(clientPort), '-s', String(sourcePort), ...loopback]);
    await listens(clientPort);
    await listens(sourcePort);
    return server;
  };
  const publish = (sourcePort: number) =>
    run('ffmpeg', [...LIVE, ...NOISY, ...H264, '-f', 'rtsp', `rtsp://127.0.0.1:${sourcePort}/wall`]);

  it('is heard; says when the publisher or the server is gone, and recovers from both', async () => {
    const [clientPort = 0, sourcePort = 0] = await freePorts(2);
    const server = await serve(clientPort, sourcePort);
    const publisher = publish(sourcePort);
    const { camera, heardBytes } = await watch(`rtsp://127.0.0.1:${clientPort}/wall`);
    await healthy(camera);
    expect(camera.status()).toMatchObject({
      basis: { physical: true, simulated: false },
      details: { input: 'ffmpeg', codec: 'h264', transport: 'udp' },
    });
    expect(heardBytes()).toBeGreaterThan(10_000);
    expect((await camera.sample(AbortSignal.timeout(5000)))?.length).toBe(64);

    // This server keeps a publisher's place for ever unless he says good-bye.
    await end(publisher, 'SIGTERM');
    await until('the publisher is missed', () => camera.status().state === 'failed', TRUTH_MS);
    expect(camera.status().basis.physical).toBe(false);
    const second = publish(sourcePort);
    await heard(camera);

    await end(server);
    await end(second);
    await until('the server is missed', () => camera.status().state === 'failed', TRUTH_MS);
    await serve(clientPort, sourcePort);
    publish(sourcePort);
    await healthy(camera);
  });
});

/**
 * An RTSP server (RFC 2326) that speaks TCP only and wants Basic authentication: the RTP packets are ffmpeg's own, sent
 * to us by UDP and passed on interleaved (section 10.12).
 */
class TcpRtspServer {
  readonly #server = net.createServer((socket) => this.#serve(socket));
  readonly #rtp = createSocket('udp4');
  readonly #playing = new Set<net.Socket>();
  readonly #authorization: string;

  constructor(credentials: string) {
    this.#authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
    this.#rtp.on('message', (packet) => {
      const head = Buffer.from([0x24, 0, packet.length >> 8, packet.length & 255]);
      for (const socket of this.#playing) socket.write(Buffer.concat([head, packet]));
    });
  }

  async start(): Promise<{ port: number; rtpPort: number }> {
    this.#server.listen(0, '127.0.0.1');
    this.#rtp.bind(0, '127.0.0.1');
    await Promise.all([once(this.#server, 'listening'), once(this.#rtp, 'listening')]);
    return { port: portOf(this.#server), rtpPort: this.#rtp.address().port };
  }

  async stop(): Promise<void> {
    for (const socket of this.#playing) socket.destroy();
    this.#rtp.close();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: net.Socket): void {
    let text = '';
    socket.on('error', () => undefined);
    socket.once('close', () => this.#playing.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        // Receiver reports come interleaved on the same connection; they hold no request.
        const request = text.slice(Math.max(0, text.search(/[A-Z_]+ rtsp:/)), end);
        text = text.slice(end + 4);
        this.#answer(socket, request);
      }
    });
  }

  #answer(socket: net.Socket, request: string): void {
    const method = /^[A-Z_]+/.exec(request)?.[0];
    const sequence = /^CSeq: *(\d+)/im.exec(request)?.[1] ?? '0';
    const reply = (status: string, headers: readonly string[] = [], body = '') =>
      socket.write([`RTSP/1.0 ${status}`, `CSeq: ${sequence}`, ...headers, '', body].join('\r\n'));
    if (method === 'OPTIONS') {
      reply('200 OK', ['Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN']);
    } else if (!request.includes(`Authorization: ${this.#authorization}`)) {
      reply('401 Unauthorized', ['WWW-Authenticate: Basic realm="lamps"']);
    } else if (method === 'DESCRIBE') {
      const media = ['m=video 0 RTP/AVP 96', 'a=rtpmap:96 H264/90000', 'a=fmtp:96 packetization-mode=1'];
      const session = ['v=0', 'o=- 0 0 IN IP4 127.0.0.1', 's=lamps', 'c=IN IP4 127.0.0.1', 't=0 0'];
      const sdp = [...session, ...media, 'a=control:track', ''].join('\r\n');
      reply('200 OK', ['Content-Type: application/sdp', `Content-Length: ${sdp.length}`], sdp);
    } else if (method === 'SETUP' && !request.includes('RTP/AVP/TCP')) {
      reply('461 Unsupported Transport');
    } else if (method === 'SETUP') {
      reply('200 OK', ['Session: 1', 'Transport: RTP/AVP/TCP;unicast;interleaved=0-1']);
    } else {
      reply('200 OK', ['Session: 1']);
      if (method === 'PLAY') this.#playing.add(socket);
    }
  }
}

describe('RTSP over TCP', () => {
  needs('ffmpeg', 'setpriv')('with a password', () => {
    it('is heard, and the password is in no argument or variable of the process', async () => {
      const server = new TcpRtspServer('alice:open sesame');
      const { port, rtpPort } = await server.start();
      try {
        run('ffmpeg', [...LIVE, ...NOISY, ...H264, '-f', 'rtp', `rtp://127.0.0.1:${rtpPort}`]);
        const { camera, pids } = await watch(`rtsp://alice:open%20sesame@127.0.0.1:${port}/wall`);
        await healthy(camera);
        expect(camera.status().details).toMatchObject({ transport: 'tcp', restarts: 0 });
        expect(JSON.stringify(camera.status())).not.toMatch(/alice|sesame/);
        const seen = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${pids[0]}/${file}`, 'latin1'));
        expect(seen[0]).toContain('ffmpeg');
        expect(seen.join(' ')).not.toMatch(/alice|sesame/);
      } finally {
        await Promise.all(cameras.splice(0).map((camera) => camera.stop()));
        await server.stop();
      }
    });
  });
});
