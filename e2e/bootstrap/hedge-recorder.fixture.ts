import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import crypto from 'node:crypto';

/*
 * For tests, by `--import`: writes down every HMAC(key, x) that this process computes for its TLS hedge, one JSON object a line
 * in the file that HEDGE_RECORD names: x as it is, which is no secret, and hashes of the key and of the output, which are. It
 * changes nothing of them: it stands before node:crypto's `hash`, of which HMAC is made.
 */

const BLOCK_BYTES = 128;
/** How E("hedge", …) begins. */
const HEAD = Buffer.from('\u0005hedge\u0001', 'latin1');

const file = process.env['HEDGE_RECORD'] ?? '';
const { hash, createHash } = crypto;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The inner hash of HMAC was seen; the next one is the outer. */
let inner: { readonly key: string; readonly x: string } | undefined;

function recordingHash(...given: Parameters<typeof hash>): unknown {
  const made: unknown = Reflect.apply(hash, crypto, given);
  const [, text] = given;
  if (inner !== undefined && made instanceof Uint8Array) {
    appendFileSync(file, `${JSON.stringify({ ...inner, output: sha256(made) })}\n`);
    inner = undefined;
  } else if (text instanceof Uint8Array && isHedge(text)) {
    // The key stands before x, with ipad over it.
    const x = Buffer.from(text.subarray(BLOCK_BYTES)).toString('hex');
    inner = { key: sha256(text.subarray(0, BLOCK_BYTES)), x };
  }
  return made;
}

function isHedge(text: Uint8Array): boolean {
  return HEAD.equals(text.subarray(BLOCK_BYTES, BLOCK_BYTES + HEAD.length));
}

if (file !== '') {
  Object.defineProperty(crypto, 'hash', { value: recordingHash });
  syncBuiltinESMExports();
}
