import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LamplighterError } from '@lamplighter/core';
import { type DeviceOptions, parseDeviceOptions } from './device-options.js';

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
  | {
      readonly kind: 'stream';
      /** As ffmpeg takes it: without `ffmpeg+`, with userinfo. */
      readonly url: string;
      /** What ffmpeg may open for it, as `-protocol_whitelist` takes it. */
      readonly protocols: string;
      readonly secrets: readonly string[];
      readonly shown: string;
    }
  | {
      readonly kind: 'device';
      readonly path: string;
      readonly options: DeviceOptions;
      readonly shown: string;
    }
  | { readonly kind: 'file'; readonly path: string; readonly shown: string }
  /** A page of the dashboard posts pictures of the camera of whoever opened it. */
  | { readonly kind: 'browser'; readonly shown: 'browser:' };

const MAX_URL_LENGTH = 2048;
/** Whatever stands before a colon in the first segment: ffmpeg also knows `subfile,,start,0,end,9,,:`. */
const SCHEME = /^([^/:]*):/;
/** by-id and by-path are udev's stable names for the same devices. */
const VIDEO_DEVICE = /^\/dev\/(video\d{1,4}|v4l\/by-(id|path)\/[\w:.+-]+)$/;
/**
 * Streams that are handed to ffmpeg when a person says so, and what it may open for each. A playlist (HLS) that comes over
 * HTTP may name other HTTP servers: that is why `ffmpeg+` must be written.
 */
const STREAM_PROTOCOLS: Readonly<Record<string, string>> = {
  'ffmpeg+http': 'http,tcp',
  'ffmpeg+https': 'https,tls,tcp',
  'ffmpeg+tcp': 'tcp',
  'ffmpeg+udp': 'udp',
  srt: 'srt',
  rtmp: 'rtmp,tcp',
  rtmps: 'rtmps,tls,tcp',
};
const HINT =
  'use http(s)://… (MJPEG), rtsp://…, /dev/videoN, the path of a video file, browser: for a phone or laptop that opens /camera, or for other streams ffmpeg+http(s)://…, srt://…, rtmp(s)://…';

/**
 * Parses what a person wrote, and refuses what ffmpeg would understand in ways he did not mean: options (`-i`), protocols
 * that join or open other things (`concat:`, `subfile:`, `pipe:`), control characters. HTTP reaches ffmpeg only as
 * `ffmpeg+http`, so no playlist can send it elsewhere by surprise.
 *
 * @param text - http(s)://, rtsp://, ffmpeg+http(s)://, ffmpeg+tcp://, ffmpeg+udp://, srt://, rtmp(s)://, /dev/videoN
 *   (with `?format=…&size=…&fps=…`), a file: URL or a path, or just `browser:`; 1..2,048 characters
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
  if (scheme === 'browser') return browserTarget(text);
  if (scheme === 'file') return localTarget(pathOfFileUrl(text));
  if (scheme === 'http' || scheme === 'https') return httpTarget(networkUrl(text));
  if (scheme === 'rtsp') return ffmpegTarget(networkUrl(text), undefined);
  if (Object.hasOwn(STREAM_PROTOCOLS, scheme)) {
    return ffmpegTarget(networkUrl(text.replace(/^ffmpeg\+/i, '')), STREAM_PROTOCOLS[scheme]);
  }
  throw refused('has a protocol that is not allowed (a file name with a colon needs ./ before it)');
}

/** Takes every secret out of text that a child process wrote. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const known = secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
  return known.replace(/\/\/[^/@\s]{1,512}@/g, '//***@');
}

function browserTarget(text: string): CameraTarget {
  if (text.toLowerCase() !== 'browser:') throw refused('has something behind browser:');
  return { kind: 'browser', shown: 'browser:' };
}

function localTarget(absolutePath: string): CameraTarget {
  if (!absolutePath.startsWith('/dev/')) return { kind: 'file', path: absolutePath, shown: absolutePath };
  const [, device = '', query = ''] = /^([^?]*)\??(.*)$/.exec(absolutePath) ?? [];
  if (!VIDEO_DEVICE.test(device)) throw refused('is a device, but not a video device');
  const options = parseDeviceOptions(query);
  if (typeof options === 'string') throw refused(options);
  return { kind: 'device', path: device, options, shown: absolutePath };
}

function pathOfFileUrl(text: string): string {
  try {
    return fileURLToPath(text);
  } catch (cause) {
    throw refused('is not a file URL of this machine', cause);
  }
}

function networkUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // No `cause`: that error quotes its input, credentials and all.
    throw refused('is not a URL');
  }
  if (url.hostname === '') throw refused('names no host');
  url.hash = '';
  return url;
}

function httpTarget(url: URL): CameraTarget {
  const shown = shownUrl(url);
  const authorization = basicAuthorization(url);
  url.username = '';
  url.password = '';
  return { kind: 'http', url, authorization, shown };
}

function ffmpegTarget(url: URL, protocols: string | undefined): CameraTarget {
  const target = { url: url.href, secrets: secretsOf(url), shown: shownUrl(url) };
  return protocols === undefined ? { kind: 'rtsp', ...target } : { kind: 'stream', protocols, ...target };
}

/** Many cameras take their password in the query, so that is hidden too; and RTMP has its stream key in the path. */
function shownUrl(url: URL): string {
  const userinfo = url.username === '' && url.password === '' ? '' : '***@';
  const place = url.protocol.startsWith('rtmp') ? '/***' : url.pathname;
  return `${url.protocol}//${userinfo}${url.host}${place}${url.search === '' ? '' : '?***'}`;
}

function secretsOf(url: URL): string[] {
  const { username, password, search, href, protocol, pathname } = url;
  const path = protocol.startsWith('rtmp') ? [pathname, ...pathname.split('/').slice(-1)] : [];
  const spellings = [href, ...path, search.slice(1), password, decoded(password), `${username}:${password}`];
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
