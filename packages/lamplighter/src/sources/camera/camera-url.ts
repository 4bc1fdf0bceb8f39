import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LamplighterError } from '@lamplighter/core';

/** Where the pictures come from, parsed. `shown` is the only form that may appear in a status, a log or an error. */
export type CameraTarget =
  | {
      readonly kind: 'http';
      /** Without userinfo and fragment. */
      readonly url: URL;
      /** The value of an `Authorization` header, when the URL had userinfo. */
      readonly authorization: string | undefined;
      readonly shown: string;
    }
  | {
      readonly kind: 'rtsp';
      /** With userinfo. */
      readonly url: string;
      /** Every spelling of what must not be seen, for {@link withoutSecrets}. */
      readonly secrets: readonly string[];
      readonly shown: string;
    }
  | { readonly kind: 'device'; readonly path: string; readonly shown: string }
  | { readonly kind: 'file'; readonly path: string; readonly shown: string };

const MAX_URL_LENGTH = 2048;
/** Whatever stands before a colon in the first segment: ffmpeg also knows `subfile,,start,0,end,9,,:`. */
const SCHEME = /^([^/:]*):/;
/** by-id and by-path are udev's stable names for the same devices. */
const VIDEO_DEVICE = /^\/dev\/(video\d{1,4}|v4l\/by-(id|path)\/[\w:.+-]+)$/;
const HINT = 'use http(s)://…, rtsp://…, /dev/videoN, or the path of a video file';

/**
 * Parses what a person wrote, and refuses what ffmpeg would understand in ways he did not mean: options (`-i`), protocols
 * that join or open other things (`concat:`, `subfile:`, `pipe:`), control characters. HTTP never reaches ffmpeg, so no
 * playlist can send it elsewhere.
 *
 * @param text - http(s)://, rtsp://, /dev/videoN, a file: URL or a path; 1..2,048 characters
 * @throws LamplighterError ERR_CONFIG; the text of the error holds no userinfo and no query
 */
export function parseCameraUrl(text: string): CameraTarget {
  if (text.length === 0 || text.length > MAX_URL_LENGTH) throw refused('is empty or too long');
  // Control characters end lines in what is handed to ffmpeg.
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(text)) throw refused('holds a control character');
  if (text.startsWith('-')) throw refused('begins with "-"');

  const scheme = SCHEME.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return localTarget(path.resolve(text));
  if (scheme === 'file') return localTarget(pathOfFileUrl(text));
  if (scheme === 'http' || scheme === 'https' || scheme === 'rtsp') return networkTarget(text, scheme);
  throw refused('has a protocol that is not allowed (a file name with a colon needs ./ before it)');
}

/** Takes every secret out of text that a child process wrote. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const known = secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
  return known.replace(/\/\/[^/@\s]{1,512}@/g, '//***@');
}

function localTarget(absolutePath: string): CameraTarget {
  if (!absolutePath.startsWith('/dev/')) return { kind: 'file', path: absolutePath, shown: absolutePath };
  if (!VIDEO_DEVICE.test(absolutePath)) throw refused('is a device, but not a video device');
  return { kind: 'device', path: absolutePath, shown: absolutePath };
}

function pathOfFileUrl(text: string): string {
  try {
    return fileURLToPath(text);
  } catch (cause) {
    throw refused('is not a file URL of this machine', cause);
  }
}

function networkTarget(text: string, scheme: 'http' | 'https' | 'rtsp'): CameraTarget {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // No `cause`: that error quotes its input, credentials and all.
    throw refused('is not a URL');
  }
  if (url.hostname === '') throw refused('names no host');
  url.hash = '';
  const shown = shownUrl(url);
  if (scheme === 'rtsp') return { kind: 'rtsp', url: url.href, secrets: secretsOf(url), shown };

  const authorization = basicAuthorization(url);
  url.username = '';
  url.password = '';
  return { kind: 'http', url, authorization, shown };
}

/** Many cameras take their password in the query, so that is hidden too. */
function shownUrl(url: URL): string {
  const userinfo = url.username === '' && url.password === '' ? '' : '***@';
  return `${url.protocol}//${userinfo}${url.host}${url.pathname}${url.search === '' ? '' : '?***'}`;
}

function secretsOf(url: URL): string[] {
  const { username, password, search, href } = url;
  const spellings = [href, search.slice(1), password, decoded(password), `${username}:${password}`];
  return [...new Set(spellings)].filter((secret) => secret.length > 1).sort((a, b) => b.length - a.length);
}

/** RFC 7617. Most cameras speak it; those that want Digest answer 401, and the status says so. */
function basicAuthorization(url: URL): string | undefined {
  if (url.username === '' && url.password === '') return undefined;
  const pair = `${decoded(url.username)}:${decoded(url.password)}`;
  return `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function refused(why: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_CONFIG', `the camera's url ${why}`, { hint: HINT, cause });
}
