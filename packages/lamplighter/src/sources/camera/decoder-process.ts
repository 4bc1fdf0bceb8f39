/**
 * The process that decodes pixels: the only place where a JPEG from outside is interpreted, and all that a malicious one
 * can hurt. It is started with an empty environment and holds nothing but its standard streams.
 *
 * stdin: u32 length ‖ JPEG, one at a time. stdout, for each: 00 when it cannot be decoded, or 01 ‖ u16 width ‖ u16 height ‖
 * single pixels of it on the grid that health looks at.
 * It exits at the end of stdin, and so with its parent.
 */
import { Script } from 'node:vm';
import { decode } from 'jpeg-js';
import { MAX_JPEG_BYTES, NOT_DECODABLE, PICTURE, PICTURE_HEADER_BYTES } from './decoder-protocol.js';
import { HEALTH_HEIGHT, HEALTH_WIDTH } from './health/picture.js';
import { lumaGrid } from './luma-grid.js';

/** 4096 × 3072 and a little more. jpeg-js takes some 20 bytes a pixel. */
const MAX_RESOLUTION_MEGAPIXELS = 13;
const MAX_MEMORY_MEGABYTES = 512;
/** Longer than the parent waits before it kills us: this one is for when the parent is already gone. */
const DECODE_LIMIT_MS = 6_000;

// A script's time limit is the only way to interrupt a synchronous decoder from inside its process.
const limited = new Script('decodeOneFrame()');
let jpeg: Uint8Array = new Uint8Array(0);
Object.defineProperty(globalThis, 'decodeOneFrame', { value: () => pictureOf(jpeg) });

const PREFIX_BYTES = 4;
let chunks: Buffer[] = [];
let received = 0;
let wanted = PREFIX_BYTES;
process.stdin.on('data', (chunk: Buffer) => {
  chunks.push(chunk);
  received += chunk.length;
  if (received < wanted) return;
  const bytes = Buffer.concat(chunks);
  wanted = PREFIX_BYTES + bytes.readUInt32BE(0);
  if (wanted > PREFIX_BYTES + MAX_JPEG_BYTES || received > wanted) process.exit(1);
  chunks = [bytes];
  if (received < wanted) return;
  chunks = [];
  received = 0;
  wanted = PREFIX_BYTES;
  jpeg = bytes.subarray(PREFIX_BYTES);
  answer();
  bytes.fill(0);
});
process.stdin.on('end', () => process.exit(0));

function answer(): void {
  let picture: unknown;
  try {
    picture = limited.runInThisContext({ timeout: DECODE_LIMIT_MS });
  } catch {
    picture = undefined;
  }
  process.stdout.write(picture instanceof Uint8Array ? picture : Buffer.of(NOT_DECODABLE));
}

function pictureOf(bytes: Uint8Array): Uint8Array {
  const image = decode(bytes, {
    useTArray: true,
    formatAsRGBA: false,
    tolerantDecoding: true,
    maxResolutionInMP: MAX_RESOLUTION_MEGAPIXELS,
    maxMemoryUsageInMB: MAX_MEMORY_MEGABYTES,
  });
  const header = Buffer.alloc(PICTURE_HEADER_BYTES);
  header.writeUInt8(PICTURE, 0);
  header.writeUInt16BE(image.width, 1);
  header.writeUInt16BE(image.height, 3);
  return Buffer.concat([header, lumaGrid(image, HEALTH_WIDTH, HEALTH_HEIGHT)]);
}
