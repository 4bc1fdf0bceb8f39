import { z } from 'zod';
import type { Role } from '../identity/roles.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import type { Environment } from '../local/environment.js';
import { beaconSource } from '../sources/beacon.js';
import { parseCameraUrl } from '../sources/camera/camera-url.js';
import { readCalibration } from '../sources/camera/calibration-file.js';
import { type CameraOptions, cameraSource } from '../sources/camera/camera.js';
import { cpuSource } from '../sources/cpu.js';
import { egdSource } from '../sources/egd.js';
import { feedSource } from '../sources/feed.js';
import { hwrngSource } from '../sources/hwrng.js';
import { jitterSource } from '../sources/jitter/jitter.js';
import { mailboxSource } from '../sources/mailbox/mailbox.js';
import { osSource } from '../sources/os.js';
import { pollenSource } from '../sources/pollen.js';
import { parseOrigin } from '../sources/process/origin.js';
import { XENSTORE_SOURCE_DEFAULTS, xenstoreSource } from '../sources/xenstore.js';
import { processSource } from '../sources/process/process.js';
import {
  checkedChain,
  DRAND_CHAINS,
  DRAND_RELAYS,
  DRAND_SCHEMES,
  type DrandChain,
} from '../sources/public/chain.js';
import { publicSource } from '../sources/public/public.js';
import { parseRelayUrl } from '../sources/public/relay.js';
import type { Source } from '../sources/source.js';
import { timingSource } from '../sources/timing.js';
import { tpmSource } from '../sources/tpm.js';
import { trickleSource } from '../sources/trickle.js';
import { TRICKLE_DEVICE } from '../sources/trickle-port.js';
import { whirlwindSource } from '../sources/whirlwind.js';
import type { Upstream } from '../wire/client.js';
import { parsePollenUrl } from '../wire/pollen-url.js';
import { parseEgdAddress } from '../wire/egd-address.js';
import { entryName, filePath, httpsUrl, peer, periodMs, refineBy } from '../config/fields.js';

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

const egdAddress = z
  .string()
  .max(300)
  .superRefine((address, context) => refineBy(() => parseEgdAddress(address), context));

const os = entry('os', { periodMs: periodMs(100, 3_600_000).default(1_000) });

const timing = entry('timing', {
  periodMs: periodMs(1, 60_000).default(50).describe('of the timer whose lateness is heard'),
  diskPeriodMs: periodMs(10, 3_600_000).default(1_000).describe('time between small file reads'),
});

const whirlwind = entry('whirlwind', {
  periodMs: periodMs(1_000, 86_400_000).default(600_000).describe('time between bursts'),
});

const jitter = entry('jitter', {
  cpuShare: z.number().min(0.0001).max(0.5).default(0.01).describe('share of one core it may use'),
});

const cpu = entry('cpu', {
  periodMs: periodMs(100, 3_600_000).default(10_000).describe('time between draws'),
});

const hwrng = entry('hwrng', {
  path: z
    .string()
    .startsWith('/')
    .max(4096)
    .default('/dev/hwrng')
    .describe('a character device or FIFO, read by a child'),
  periodMs: periodMs(1_000, 86_400_000).default(60_000),
  deadlineMs: periodMs(100, 60_000).default(5_000).describe('for one answer'),
});

const tpm = entry('tpm', {
  tcti: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'expected 1 to 200 printable characters without spaces')
    .default('device:/dev/tpmrm0')
    .describe('how the TPM is reached, as tpm2_getrandom --tcti takes it'),
  periodMs: periodMs(1_000, 86_400_000).default(300_000),
  deadlineMs: periodMs(100, 60_000).default(5_000).describe('for one answer'),
});

const camera = entry('camera', {
  url: z
    .string()
    .min(1)
    .max(2048)
    .superRefine((url, context) => refineBy(() => parseCameraUrl(url), context))
    .describe(
      'http(s)://… (MJPEG), rtsp://…, /dev/videoN[?format=…&size=WxH&fps=N], a video file, ffmpeg+http(s|tcp|udp)://…, srt://…, rtmp(s)://… (all but the first need ffmpeg), or browser: for a phone or laptop that opens /camera on the dashboard',
    ),
  calibration: filePath.optional().describe('what `lamplighter camera calibrate` learned, a file'),
  simulated: z.boolean().default(false).describe('the picture is not of the real world: it earns no credit'),
  stallMs: periodMs(500, 60_000).default(3_000).describe('silence after which the camera counts as stalled'),
});

const feed = entry('feed', { url: httpsUrl, peer, intervalMs: periodMs(100, 60_000).default(1_000) });

const beacon = entry('beacon', {
  url: httpsUrl,
  peer,
  periodMs: periodMs(1_000, 86_400_000).default(300_000),
});

const pollen = entry('pollen', {
  url: z
    .string()
    .min(1)
    .max(2048)
    .superRefine((url, context) => refineBy(() => parsePollenUrl(url), context))
    .describe('https://… or http://… of a pollen server'),
  ca: filePath
    .optional()
    .describe('PEM with the CA of its certificate; the CAs that came with node unless told'),
  periodMs: periodMs(1_000, 86_400_000).default(300_000),
  deadlineMs: periodMs(100, 60_000).default(5_000).describe('for one answer'),
});

const processEntry = entry('process', {
  from: z
    .strictObject({
      command: z
        .array(z.string())
        .optional()
        .describe('program and arguments, one item each; no shell; speaks on stdout until stopped'),
      once: z.boolean().optional().describe('the command is run once; an end with code 0 is no fault'),
      path: z
        .string()
        .optional()
        .describe('absolute path of a FIFO, character device, unix socket or regular file (read once)'),
      connect: z.string().optional().describe('unix:/absolute/path or tcp:host:port'),
    })
    .superRefine((from, context) => refineBy(() => parseOrigin(from), context))
    .describe('exactly one of command, path, connect'),
  silenceMs: periodMs(100, 86_400_000).default(60_000).describe('silence after which it is started again'),
  maxBytesPerSecond: z
    .int()
    .min(1_024)
    .max(67_108_864)
    .default(1_048_576)
    .describe('heard at most so fast; the rest waits at its writer'),
});

const mailbox = entry('mailbox', {
  folder: z
    .string()
    .min(1)
    .max(512)
    .regex(/^\//, 'expected an absolute path')
    .describe('a shared folder, one guest each; itself no link'),
  periodMs: periodMs(100, 3_600_000).default(10_000),
  lookMs: periodMs(100, 600_000).default(10_000).describe('how long one look may take'),
  maxFiles: z.int().min(1).max(1_024).default(64).describe('files heard in one look'),
  maxEntries: z.int().min(1).max(65_536).default(1_024).describe('names read in one look'),
});

const egd = entry('egd', {
  address: egdAddress.describe('unix:/path or tcp:host:port of another EGD server'),
  lengthBytes: z.int().min(1).max(255).default(32).describe('bytes asked for at a time'),
  periodMs: periodMs(100, 86_400_000).default(60_000),
});

const xenstore = entry('xenstore', {
  address: z
    .string()
    .max(256)
    .regex(/^(?:unix:)?\//, 'expected /path/of/a/device or unix:/path')
    .default(XENSTORE_SOURCE_DEFAULTS.address)
    .describe('a guest’s xenbus device, or unix:/path of xenstored’s socket'),
  path: z.string().max(256).default(XENSTORE_SOURCE_DEFAULTS.path).describe('the node that the host writes'),
  periodMs: periodMs(100, 86_400_000).default(600_000).describe('mean time between two requests'),
});

const trickle = entry('trickle', {
  device: filePath
    .default(TRICKLE_DEVICE)
    .describe('the virtio-serial port, or a unix socket; read and written by a child'),
  greetingMs: periodMs(100, 3_600_000).default(60_000).describe('how long the host may take to greet'),
  silenceMs: periodMs(100, 86_400_000).default(180_000).describe('silence after which hello is said again'),
});

const drandChain = z.strictObject({
  hash: z.string().max(64).describe('of the chain, hex'),
  publicKey: z.string().max(192).describe('of the network, hex'),
  scheme: z.enum(DRAND_SCHEMES),
  times: z.strictObject({ genesisS: z.int().min(0), periodS: z.int().min(1) }).optional(),
});

const publicEntry = entry('public', {
  relays: z
    .array(
      z
        .string()
        .max(2048)
        .superRefine((url, context) => refineBy(() => parseRelayUrl(url), context)),
    )
    .min(1)
    .max(16)
    .default([...DRAND_RELAYS])
    .describe('drand relays, asked in turn; http or https'),
  chain: z
    .union([z.enum(['default', 'quicknet']), drandChain])
    .default('default')
    .describe('a League of Entropy chain by name, or another by its hash and key'),
  periodMs: periodMs(1_000, 86_400_000).default(60_000),
  maxAgeMs: periodMs(10_000, 86_400_000).default(300_000).describe('an older round is a fault'),
});

/** The registry of sources. A new one is a line here and a case below. */
export const sourceEntry = z.discriminatedUnion('kind', [
  camera,
  feed,
  beacon,
  pollen,
  egd,
  trickle,
  mailbox,
  xenstore,
  processEntry,
  publicEntry,
  whirlwind,
  timing,
  jitter,
  hwrng,
  tpm,
  cpu,
  os,
]);

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
    case 'whirlwind':
      return whirlwindSource(entry, environment);
    case 'jitter':
      return jitterSource(entry, environment);
    case 'cpu':
      return cpuSource(entry, environment);
    case 'hwrng':
      return hwrngSource(entry, environment);
    case 'tpm':
      return tpmSource(entry, environment);
    case 'camera':
      return cameraSource(withCalibration(entry), environment);
    case 'pollen':
      return pollenSource(entry, environment);
    case 'egd':
      return egdSource(entry, environment);
    case 'public':
      return publicSource({ ...entry, chain: chainOf(entry.chain) }, environment);
    case 'xenstore':
      return xenstoreSource(entry, environment);
    case 'trickle':
      return trickleSource(entry, environment);
    case 'mailbox':
      return mailboxSource(entry, environment);
    case 'process':
      return processSource(entry, environment);
    case 'feed':
      return feedSource({ ...entry, upstream: upstreamOf(entry, factory, ['office', 'relay']) }, environment);
    case 'beacon':
      return beaconSource({ ...entry, upstream: upstreamOf(entry, factory, ['relay']) }, environment);
  }
}

/** @throws LamplighterError ERR_CONFIG when the file is no calibration */
function withCalibration({ calibration, ...rest }: z.output<typeof camera>): CameraOptions {
  return calibration === undefined ? rest : { ...rest, calibration: readCalibration(calibration) };
}

function chainOf(chain: z.output<typeof publicEntry>['chain']): DrandChain {
  if (typeof chain === 'string') return DRAND_CHAINS[chain];
  const { times, ...rest } = chain;
  return checkedChain(times === undefined ? rest : { ...rest, times });
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
