import { POLLEN_FIELD, POLLEN_FORM_CONTENT_TYPE } from '../../wire/pollen.js';

/** What of a request may hold a challenge. */
export interface ChallengeRequest {
  readonly method: string;
  /** The request target as it came, one character a byte. */
  readonly target: string;
  readonly contentType: string | undefined;
  readonly body: Uint8Array;
}

/** The methods whose body pollen reads. */
const METHODS_WITH_FORM: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/**
 * The challenge of a request, found as pollen finds it: the first field `challenge` of the form, if there is a form, otherwise of
 * the query. Path and headers are of no meaning; a pair with a bad escape or a semicolon is as if it were not there.
 *
 * Source: what Debian's pollen 4.21 answers. Deviation: a `multipart/form-data` body is no form here. pollinate sends none, and
 * what strangers may have parsed is kept small.
 * @returns its bytes; undefined when there is none, or the first one is empty
 */
export function challengeOf({ method, target, contentType, body }: ChallengeRequest): Uint8Array | undefined {
  const mark = target.indexOf('?');
  const form = METHODS_WITH_FORM.has(method) && isForm(contentType) ? fieldIn(bytesAsText(body)) : undefined;
  const challenge = form ?? (mark < 0 ? undefined : fieldIn(target.slice(mark + 1)));
  return challenge === undefined || challenge === '' ? undefined : Buffer.from(challenge, 'latin1');
}

function isForm(contentType = ''): boolean {
  const [type = ''] = contentType.split(';');
  return type.trim().toLowerCase() === POLLEN_FORM_CONTENT_TYPE;
}

/** One character a byte, as node:http gives a request target: a challenge is bytes, and need not be UTF-8. */
function bytesAsText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function fieldIn(pairs: string): string | undefined {
  for (const pair of pairs.split('&')) {
    if (pair.includes(';')) continue;
    const cut = pair.indexOf('=');
    if (unescaped(cut < 0 ? pair : pair.slice(0, cut)) !== POLLEN_FIELD) continue;
    const value = unescaped(cut < 0 ? '' : pair.slice(cut + 1));
    if (value !== undefined) return value;
  }
  return undefined;
}

/** Not decodeURIComponent, which knows no plus and wants UTF-8. */
function unescaped(text: string): string | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined;
  return text
    .replaceAll('+', ' ')
    .replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}
