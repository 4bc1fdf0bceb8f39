import { LamplighterError } from '@lamplighter/core';
import { z } from 'zod';
import type { Role } from '../identity/roles.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import type { Environment } from '../local/environment.js';
import { beaconSource } from '../sources/beacon.js';
import { parseCameraUrl } from '../sources/camera/camera-url.js';
import { cameraSource } from '../sources/camera/camera.js';
import { feedSource } from '../sources/feed.js';
import { osSource } from '../sources/os.js';
import type { Source } from '../sources/source.js';
import { timingSource } from '../sources/timing.js';
import type { Upstream } from '../wire/client.js';
import { entryName, httpsUrl, peer, periodMs } from '../config/fields.js';

/** What a source may be given besides its own options. */
export interface SourceFactory {
  readonly environment: Environment;
  /** @throws LamplighterError ERR_CONFIG when the configuration names no certificate */
  readonly tls: () => TlsMaterial;
}

const entry = <K extends string, S extends z.ZodRawShape>(kind: K, shape: S) =>
  z.strictObject({
    kind: z.literal(kind),
    name: entryName.default(kind).describe('shown in status and metrics; unique'),
    required: z.boolean().default(false).describe('nothing is served before this source has answered once'),
    ...shape,
  });

const os = entry('os', { periodMs: periodMs(100, 3_600_000).default(1_000) });

const timing = entry('timing', { periodMs: periodMs(1, 60_000).default(50) });

const camera = entry('camera', {
  url: z
    .string()
    .min(1)
    .max(2048)
    .superRefine((url, context) => {
      try {
        parseCameraUrl(url);
      } catch (error) {
        if (!(error instanceof LamplighterError)) throw error;
        context.addIssue({ code: 'custom', message: `${error.message}; ${error.hint ?? ''}` });
      }
    })
    .describe('http(s)://… (MJPEG), rtsp://…, /dev/videoN or a video file; all but the first need ffmpeg'),
  simulated: z.boolean().default(false).describe('the picture is not of the real world: it earns no credit'),
  stallMs: periodMs(500, 60_000).default(3_000).describe('silence after which the camera counts as stalled'),
});

const feed = entry('feed', { url: httpsUrl, peer, intervalMs: periodMs(100, 60_000).default(1_000) });

const beacon = entry('beacon', {
  url: httpsUrl,
  peer,
  periodMs: periodMs(1_000, 86_400_000).default(300_000),
});

/** The registry of sources. A new one is a line here and a case below. */
export const sourceEntry = z.discriminatedUnion('kind', [os, timing, camera, feed, beacon]);

export type SourceEntry = z.output<typeof sourceEntry>;

/**
 * Makes the source an entry describes.
 * @throws LamplighterError `fix-configuration` when it can never work as configured
 */
export function createSource(entry: SourceEntry, factory: SourceFactory): Source {
  const { environment } = factory;
  switch (entry.kind) {
    case 'os':
      return osSource(entry, environment);
    case 'timing':
      return timingSource(entry, environment);
    case 'camera':
      return cameraSource(entry, environment);
    case 'feed':
      return feedSource({ ...entry, upstream: upstreamOf(entry, factory, ['office', 'relay']) }, environment);
    case 'beacon':
      return beaconSource({ ...entry, upstream: upstreamOf(entry, factory, ['relay']) }, environment);
  }
}

function upstreamOf(
  { url, peer }: { url: string; peer?: string | undefined },
  { environment, tls }: SourceFactory,
  roles: readonly Role[],
): Upstream {
  return {
    url: new URL(url),
    // Read at every connection: a reload may have brought a new certificate.
    get tls() {
      return tls();
    },
    roles,
    connect: (endpoint) => environment.connect(endpoint),
    ...(peer === undefined ? {} : { name: peer }),
  };
}
