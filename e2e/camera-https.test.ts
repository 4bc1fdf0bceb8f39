import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, it } from 'vitest';
import { playing } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';

const dist = fileURLToPath(new URL('../packages/lamplighter/dist/', import.meta.url));

/** A process that runs one camera and prints its status again and again. */
const SCRIPT = `
import { systemEnvironment } from '${dist}local/environment.js';
import { cameraSource } from '${dist}sources/camera/camera.js';
const camera = cameraSource({ name: 'wall', url: process.argv[1] }, systemEnvironment());
await camera.start({ hear() {} }, new AbortController().signal);
setInterval(() => console.log(JSON.stringify(camera.status())), 50);
`;

needs('openssl')('a camera over HTTPS', () => {
  let folder: string;
  let server: https.Server;
  let port: number;
  const inFolder = (name: string) => path.join(folder, name);

  beforeAll(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-https-'));
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      inFolder('key'),
    ];
    const name = ['-subj', '/CN=camera', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
    execFileSync('openssl', ['req', '-x509', ...key, ...name, '-out', inFolder('cert')], { stdio: 'ignore' });
    server = https.createServer(
      { key: readFileSync(inFolder('key')), cert: readFileSync(inFolder('cert')) },
      (request, response) => {
        const gone = new AbortController();
        response.once('close', () => gone.abort());
        playing()(response, gone.signal, request);
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    port = address === null || typeof address === 'string' ? 0 : address.port;
  });

  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  /** Runs a camera until its status says this. */
  async function says(host: string, wanted: string, trusted: boolean): Promise<void> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, `https://${host}:${port}/`], {
      env: trusted ? { NODE_EXTRA_CA_CERTS: inFolder('cert') } : {},
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output = `${output}${chunk.toString()}`.slice(-5000)));
    try {
      await until(wanted, () => output.includes(wanted), 20_000);
    } finally {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
  }

  it('is heard when its certificate is trusted', async () => {
    await says('127.0.0.1', '"state":"ok"', true);
  });

  it('is refused when it is not, or has another name', async () => {
    await says('127.0.0.1', 'DEPTH_ZERO_SELF_SIGNED_CERT', false);
    await says('localhost', 'ERR_TLS_CERT_ALTNAME_INVALID', true);
  });
});
