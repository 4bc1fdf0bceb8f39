import fs from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Answer, text } from './answer.js';

// Implementation constants.
const MOST_FILES = 64;
const MAX_FILE_BYTES = 4 * 1_048_576;

/** Where the build of the page lies in this package; the same from the sources as from what they are compiled to. */
const BUILT_PAGES = fileURLToPath(new URL('../../../dist/dashboard/', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
};

/** Only what comes from this node, nothing written into the page itself, and in no frame. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A page by its path: which file it is, and what it may do beyond {@link POLICY}. */
const PAGES: Readonly<Record<string, { file: string; headers: Readonly<Record<string, string>> }>> = {
  '/': { file: 'index.html', headers: { 'content-security-policy': POLICY } },
  '/login': { file: 'login.html', headers: { 'content-security-policy': POLICY } },
  '/camera': {
    file: 'camera.html',
    headers: {
      'content-security-policy': `${POLICY}; media-src 'self' blob:`,
      'permissions-policy': 'camera=(self), microphone=(), geolocation=(), display-capture=()',
    },
  },
};

/** The pages and what belongs to them, as whole answers by path: read once, so that no request ever names a file. */
export type Assets = ReadonlyMap<string, Answer>;

/**
 * Reads the built pages. Those that were not built are answered with 404 and what to do about it.
 * @param folder - where they lie; in this package unless told
 * @throws Error of the file system when something is there and cannot be read; RangeError when there is more than any build makes
 */
export async function loadAssets(folder = BUILT_PAGES): Promise<Assets> {
  const assets = new Map<string, Answer>();
  for (const [path, { file, headers }] of Object.entries(PAGES)) {
    const body = await read(join(folder, file));
    const type = { 'content-type': TYPES[extname(file)] ?? '' };
    assets.set(
      path,
      body === undefined ? NOT_BUILT : { status: 200, headers: { ...type, ...headers }, body },
    );
  }
  const names = await fs.readdir(join(folder, 'assets')).catch(noneThere);
  if (names.length > MOST_FILES) throw new RangeError(`more than ${MOST_FILES} files in ${folder}`);
  for (const name of names) {
    const type = TYPES[extname(name)];
    const body = type === undefined ? undefined : await read(join(folder, 'assets', name));
    if (type === undefined || body === undefined) continue;
    assets.set(`/assets/${name}`, { status: 200, headers: { 'content-type': type }, body });
  }
  return assets;
}

const NOT_BUILT = text(404, 'the dashboard was not built; build it with: npm run build\n');

async function read(path: string): Promise<Uint8Array | undefined> {
  try {
    const body = await fs.readFile(path);
    if (body.length > MAX_FILE_BYTES) throw new RangeError(`${path} is larger than ${MAX_FILE_BYTES} bytes`);
    return body;
  } catch (cause) {
    if (isAbsent(cause)) return undefined;
    throw cause;
  }
}

function noneThere(cause: unknown): string[] {
  if (isAbsent(cause)) return [];
  throw cause;
}

const isAbsent = (cause: unknown): boolean =>
  cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'EISDIR');
