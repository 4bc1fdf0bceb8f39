/**
 * The process that decodes pixels: the only place where a JPEG from outside is interpreted, and all that a malicious one
 * can hurt. It is started with an empty environment and holds nothing but its standard streams.
 *
 * stdin: u32 length ‖ JPEG, one at a time. stdout, for each: 00 when it cannot be decoded, or 01 ‖ a preview's luma.
 * It exits at the end of stdin, and so with its parent.
 */
import { Script } from 'node:vm';
import { decode } from 'jpeg-js';
import { MAX_JPEG_BYTES, NOT_DECODABLE, PICTURE } from './decoder-protocol.js';
import { shrinkToLuma } from './preview.js';

/** 4096 × 3072 and a little more. jpeg-js takes some 20 bytes a pixel. */
const MAX_RESOLUTION_MEGAPIXELS = 13;
const MAX_MEMORY_MEGABYTES = 512;
/** Longer than the parent waits before it kills us: this one is for when the parent is already gone. */
const DECODE_LIMIT_MS = 6_000;

// A script's time limit is the only way to interrupt a synchronous decoder from inside its process.
const limited = new Script('decodeOneFrame()');
let jpeg: Uint8Array = new Uint8Array(0);
Object.defineProperty(globalThis, 'decodeOneFrame', { value: () => previewLuma(jpeg) });

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
  let luma: unknown;
  try {
    luma = limited.runInThisContext({ timeout: DECODE_LIMIT_MS });
  } catch {
    luma = undefined;
  }
  process.stdout.write(
    luma instanceof Uint8Array ? Buffer.concat([Buffer.of(PICTURE), luma]) : Buffer.of(NOT_DECODABLE),
  );
}

function previewLuma(bytes: Uint8Array): Uint8Array {
  return shrinkToLuma(
    decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: true,
      maxResolutionInMP: MAX_RESOLUTION_MEGAPIXELS,
      maxMemoryUsageInMB: MAX_MEMORY_MEGABYTES,
    }),
  );
}
