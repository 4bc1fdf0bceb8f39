import { createServer, type ServerResponse } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createAuthority, issueCertificate } from '../identity/authority.js';
import { loadTlsFiles } from '../identity/tls-files.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { fixedProcess, notingNative } from '../local/fixed-process.fixture.js';
import { fetchBeacon } from '../wire/beacon.js';
import { UpstreamAgent, type Upstream } from '../wire/client.js';
import { nodeConfig } from './config.js';
import { openLog } from './log.js';
import { Node } from './node.js';

/*
 * The hedge, by experiment, on a whole node: a camera over real HTTP, beacons over real TLS. Every source but the camera
 * is known, clocks and RNGs stand still; what changes is one byte of one frame.
 */

/** Frames after the one that is there before first seeding. The pool of frame n is n mod 32. */
const FRAMES = 136;
/** Ample for the classic schedule's 100 ms, and for the event budget's slot. */
const BETWEEN_FRAMES_MS = 200;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-'));
  await createAuthority({ directory: join(folder, 'ca') });
  const issue = { authorityDirectory: join(folder, 'ca'), outDirectory: folder };
  await issueCertificate({ ...issue, role: 'relay', name: 'relay', ip: ['127.0.0.1'] });
  await issueCertificate({ ...issue, role: 'machine', name: 'machine' });
});
afterAll(() => rm(folder, { recursive: true }));

/** A camera whose every frame is known: not a picture, but hashed like one. */
async function knownCamera() {
  const viewers = new Set<ServerResponse>();
  let latest = frame(0);
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'multipart/x-mixed-replace; boundary=frame' });
    viewers.add(response);
    send(response, latest);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    show(next: Uint8Array): void {
      latest = next;
      for (const viewer of viewers) send(viewer, next);
    },
    stop(): void {
      server.closeAllConnections();
      server.close();
    },
  };
}

function send(response: ServerResponse, bytes: Uint8Array): void {
  response.write(`--frame\r\ncontent-type: image/jpeg\r\ncontent-length: ${bytes.length}\r\n\r\n`);
  response.write(bytes);
  response.write('\r\n');
}

/**
 * Begins and ends as a JPEG does; what is between is its number, one byte that a run may change, and enough to make it an
 * event of 32 bytes, so that two of them fill pool 0.
 */
function frame(number: number, changed = 0): Uint8Array {
  return Uint8Array.of(
    0xff,
    0xd8,
    number >> 8,
    number & 255,
    changed,
    ...Array<number>(64).fill(7),
    0xff,
    0xd9,
  );
}

/**
 * One life of a node, from nothing.
 * @param changed - the number of the frame whose byte is 1 and not 0; none when undefined
 * @returns a beacon after each frame, in hex, and the count of reseeds before it
 */
async function life(changed: number | undefined): Promise<{ beacon: string; reseeds: number }[]> {
  const environment = fixedEnvironment();
  const camera = await knownCamera();
  camera.show(frame(0, changed === 0 ? 1 : 0));
  const state = await mkdtemp(join(folder, 'state-'));
  const tls = (name: string) => ({
    ca: join(folder, 'ca.pem'),
    cert: join(folder, `${name}.pem`),
    key: join(folder, `${name}.key`),
  });
  const config = nodeConfig.parse({
    name: 'relay',
    state,
    schedule: 'classic', // which reseed drains a frame is a matter of counting there, and of a secret key in `improved`
    tls: tls('relay'),
    listen: { host: '127.0.0.1', port: 0 },
    admin: { port: 0 },
    log: { level: 'error' },
    sources: [
      { kind: 'camera', name: 'wall', url: camera.url, required: true },
      { kind: 'os', periodMs: 3_600_000 },
    ],
    outlets: [{ kind: 'beacon' }],
  });
  const node = new Node(config, {
    environment,
    process: fixedProcess(environment),
    native: notingNative(),
    log: openLog('error', 'relay'),
    file: 'none',
  });
  await node.start();
  await node.ready();
  environment.advance(BETWEEN_FRAMES_MS);
  const upstream: Upstream = {
    url: new URL(`https://127.0.0.1:${node.status().listen?.port ?? 0}`),
    tls: await loadTlsFiles(tls('machine')),
    roles: ['relay'],
  };
  const agent = new UpstreamAgent(upstream);
  const beacons: { beacon: string; reseeds: number }[] = [];
  try {
    for (let number = 1; number <= FRAMES; number += 1) {
      camera.show(frame(number, changed === number ? 1 : 0));
      await vi.waitFor(() => expect(node.status().sources[0]?.events).toBe(number + 1), { interval: 1 });
      environment.advance(BETWEEN_FRAMES_MS);
      const { bytes } = await fetchBeacon(upstream, { nonce: new Uint8Array(32), deadlineMs: 5_000, agent });
      beacons.push({ beacon: Buffer.from(bytes).toString('hex'), reseeds: node.status().generator.reseeds });
    }
  } finally {
    agent.destroy();
    await node.stop();
    camera.stop();
  }
  return beacons;
}

describe('hedge', () => {
  it(
    'rests on each frame alone, from the reseed that drains its pool and not before',
    { timeout: 120_000 },
    async () => {
      const known = await life(undefined);
      expect(await life(undefined)).toEqual(known);
      expect(new Set(known.map(({ beacon }) => beacon)).size).toBe(FRAMES);

      // The first reseed is the seeding itself. Frame 0 went into it; the scheduled ones drain pool i when 2^i divides them.
      for (const { changed, drainedBy } of [
        { changed: 0, drainedBy: 1 },
        { changed: 32, drainedBy: 2 },
        { changed: 33, drainedBy: 3 },
      ]) {
        const other = await life(changed);
        expect(other.map(({ reseeds }) => reseeds)).toEqual(known.map(({ reseeds }) => reseeds));
        expect(known.some(({ reseeds }) => reseeds >= drainedBy)).toBe(true);
        known.forEach(({ beacon, reseeds }, index) => {
          const isChanged = beacon !== other[index]?.beacon;
          expect(isChanged, `frame ${changed}, beacon ${index}, after ${reseeds} reseeds`).toBe(
            reseeds >= drainedBy,
          );
        });
      }
    },
  );
});
