/*
 * Requests that a server of the pollen protocol may get: as pollinate makes them, and as it never would. What pollen answers to each
 * was first written down by asking Debian's pollen 4.21; the test asks it again.
 */

const HOST = 'Host: x\r\n';
const FORM = 'application/x-www-form-urlencoded';

function get(target: string, more = '', method = 'GET'): Buffer {
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${HOST}${more}\r\n`, 'latin1');
}

function post(target: string, body: string, type: string | undefined = FORM, method = 'POST'): Buffer {
  const content = type === undefined ? '' : `Content-Type: ${type}\r\n`;
  const head = `${method} ${target} HTTP/1.1\r\n${HOST}${content}Content-Length: ${body.length}\r\n\r\n`;
  return Buffer.from(head + body, 'latin1');
}

const multipart = (disposition: string): Buffer =>
  post(
    '/',
    `--B\r\nContent-Disposition: form-data; ${disposition}\r\n\r\nabc\r\n--B--\r\n`,
    'multipart/form-data; boundary=B',
  );

/** Both answer alike, but for the random half, and for the words of a refusal. */
export const ALIKE: Readonly<Record<string, Buffer>> = {
  'a query': get('/?challenge=abc'),
  'a form': post('/', 'challenge=abc'),
  'both: the form counts': post('/?challenge=q', 'challenge=b'),
  'no challenge': get('/'),
  'an empty one': get('/?challenge='),
  'one without a value': get('/?challenge'),
  'an empty one in the query, one in the form': post('/?challenge=', 'challenge=abc'),
  'an empty one in the form, one in the query': post('/?challenge=q', 'challenge='),
  'two: the first counts': get('/?challenge=abc&challenge=def'),
  'two in a form': post('/', 'challenge=abc&challenge=def'),
  'an empty one before another': get('/?challenge=&challenge=def'),
  'a semicolon in it': get('/?challenge=abc;x=1'),
  'a semicolon elsewhere': get('/?x=1;y=2&challenge=abc'),
  'a semicolon in a form': post('/', 'challenge=abc;x=1'),
  'an escape': get('/?challenge=a%62c'),
  'an escaped name': get('/?ch%61llenge=abc'),
  'a bad escape': get('/?challenge=a%zzc'),
  'half an escape': get('/?challenge=abc%'),
  'a bad escape elsewhere': get('/?x=%zz&challenge=abc'),
  'a bad escape before another': get('/?challenge=%zz&challenge=abc'),
  'a bad escape in a form': post('/', 'challenge=%zz'),
  'a bad escape in a form, one in the query': post('/?challenge=q', 'challenge=%zz'),
  'a plus': get('/?challenge=a+c'),
  'an escaped plus': get('/?challenge=a%2bc'),
  'a zero byte': get('/?challenge=a%00c'),
  'bytes that are no UTF-8': get('/?challenge=%ff%fe'),
  'UTF-8': get('/?challenge=%c3%a4'),
  'bytes in a form': post('/', 'challenge=\xff\0\n'),
  'a byte order mark': post('/', '\xef\xbb\xbfchallenge=abc'),
  'a name in capitals': get('/?Challenge=abc'),
  'a path': get('/any/path?challenge=abc'),
  'a path of ours': get('/v1/beacon?challenge=abc'),
  'a whole URL': get('http://x/?challenge=abc'),
  'a fragment': get('/?challenge=abc#frag'),
  'a second question mark': get('/?challenge=a?b'),
  'a question mark before the name': get('/?a?challenge=abc'),
  'empty pairs': get('/?&&challenge=abc'),
  'a second equals sign': get('/?challenge=a=b'),
  HEAD: get('/?challenge=abc', '', 'HEAD'),
  'HEAD without a challenge': get('/', '', 'HEAD'),
  PUT: get('/?challenge=abc', '', 'PUT'),
  'PUT with a form': post('/', 'challenge=abc', FORM, 'PUT'),
  'PATCH with a form': post('/', 'challenge=abc', FORM, 'PATCH'),
  DELETE: get('/?challenge=abc', '', 'DELETE'),
  'DELETE with a form': post('/', 'challenge=abc', FORM, 'DELETE'),
  OPTIONS: get('/?challenge=abc', '', 'OPTIONS'),
  TRACE: get('/?challenge=abc', '', 'TRACE'),
  'GET with a form': post('/', 'challenge=abc', FORM, 'GET'),
  'a form without a type': post('/', 'challenge=abc', ''),
  'a form called text': post('/', 'challenge=abc', 'text/plain'),
  'a form called text, and a query': post('/?challenge=q', 'challenge=abc', 'text/plain'),
  JSON: post('/', '{"challenge":"abc"}', 'application/json'),
  'a type with a charset': post('/', 'challenge=abc', `${FORM}; charset=utf-8`),
  'a type in capitals': post('/', 'challenge=abc', FORM.toUpperCase()),
  'a type with a bad parameter': post('/?challenge=q', 'challenge=abc', `${FORM}; =`),
  'an empty form': post('/', ''),
  'a form of other things': post('/?challenge=q', 'x=1'),
  'a file in a multipart form': multipart('name="challenge"; filename="f"'),
  'a multipart form without a boundary': post('/', 'junk', 'multipart/form-data'),
  'a form in chunks': Buffer.from(
    `POST / HTTP/1.1\r\n${HOST}Content-Type: ${FORM}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nchall\r\n8\r\nenge=abc\r\n0\r\n\r\n`,
  ),
  'a form that waits to be let go on': Buffer.from(
    `POST / HTTP/1.1\r\n${HOST}Content-Type: ${FORM}\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\nchallenge=abc`,
  ),
  'HTTP/1.0': Buffer.from('GET /?challenge=abc HTTP/1.0\r\n\r\n'),
  'the last of a connection': get('/?challenge=abc', 'Connection: close\r\n'),
  'a part of it': get('/?challenge=abc', 'Range: bytes=0-10\r\n'),
  compression: get('/?challenge=abc', 'Accept-Encoding: gzip\r\n'),
  '4,000 characters': get(`/?challenge=${'a'.repeat(4_000)}`),
  'a form of 8,192 bytes': post('/', `challenge=${'a'.repeat(8_182)}`),
  'no host': Buffer.from('GET /?challenge=abc HTTP/1.1\r\n\r\n'),
  'a space in it': get('/?challenge=a b'),
};

/** A request to which we answer otherwise than pollen, on purpose. */
export interface Unlike {
  readonly request: Buffer;
  /** The status of pollen; of ours. 0: no answer. */
  readonly pollen: number;
  readonly ours: number;
}

/** What each is for stands in the name. */
export const UNLIKE: Readonly<Record<string, Unlike>> = {
  'bounds: a form of 8,193 bytes': {
    request: post('/', `challenge=${'a'.repeat(8_183)}`),
    pollen: 200,
    ours: 413,
  },
  'bounds: a form of 1 MiB': {
    request: post('/', `challenge=${'a'.repeat(1_048_576)}`),
    pollen: 200,
    ours: 413,
  },
  'bounds: headers of 20,000 bytes': {
    request: get(`/?challenge=${'a'.repeat(20_000)}`),
    pollen: 200,
    ours: 400,
  },
  'little to parse for strangers: a multipart form': {
    request: multipart('name="challenge"'),
    pollen: 200,
    ours: 400,
  },
  'any path is as good, and none is moved: dots': {
    request: get('/a/../b?challenge=abc'),
    pollen: 301,
    ours: 200,
  },
  'any path is as good, and none is moved: slashes': {
    request: get('//a//b?challenge=abc'),
    pollen: 301,
    ours: 200,
  },
  'any path is as good: a bad escape in it': {
    request: get('/%zz?challenge=abc'),
    pollen: 400,
    ours: 200,
  },
  'strict HTTP: two lengths that differ (request smuggling)': {
    request: Buffer.from(
      `POST / HTTP/1.1\r\n${HOST}Content-Type: ${FORM}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nchallenge=abc\r\n0\r\n\r\n`,
    ),
    pollen: 200,
    ours: 400,
  },
  'strict HTTP: UTF-8, not escaped': {
    request: get('/?challenge=\xc3\xa4'),
    pollen: 200,
    ours: 400,
  },
  'strict HTTP: Latin-1, not escaped': {
    request: get('/?challenge=\xe4'),
    pollen: 200,
    ours: 400,
  },
  'nothing but the protocol: OPTIONS *': {
    request: get('*', '', 'OPTIONS'),
    pollen: 200,
    ours: 400,
  },
  'nothing but the protocol: CONNECT': {
    request: get('x:80', '', 'CONNECT'),
    pollen: 404,
    ours: 0,
  },
  'strict HTTP: a method nobody knows': {
    request: get('/?challenge=abc', '', 'BREW'),
    pollen: 200,
    ours: 400,
  },
  'strict HTTP: an odd expectation': {
    request: get('/?challenge=abc', 'Expect: banana\r\n'),
    pollen: 417,
    ours: 400,
  },
};
