import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';

/** What came back for one request. */
export interface PollenReply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** How a test asks. */
export interface PollenQuestion {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
  /** The address it comes from; any of 127.0.0.0/8. */
  readonly from?: string;
  /** Over TLS, with these options. */
  readonly tls?: tls.ConnectionOptions;
}

/** The form that pollinate sends. */
export function form(challenge: string): PollenQuestion {
  const body = `challenge=${challenge}`;
  return { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body };
}

/**
 * For tests: one request to 127.0.0.1 on a connection of its own.
 * @throws Error when the connection or its handshake fails
 */
export async function ask(port: number, question: PollenQuestion = {}): Promise<PollenReply> {
  const { method = 'GET', path = '/?challenge=abc', headers = {}, body, from } = question;
  const raw = net.connect({ host: '127.0.0.1', port, ...(from !== undefined && { localAddress: from }) });
  const socket = question.tls === undefined ? raw : tls.connect({ socket: raw, ...question.tls });
  raw.on('error', (error) => socket.destroy(error));
  try {
    const request = http.request({
      method,
      path,
      headers: { host: 'localhost', connection: 'close', ...headers },
      createConnection: () => socket,
    });
    const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
    request.end(body);
    const [response] = await answered;
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: Buffer.concat(chunks).toString('latin1'),
    };
  } finally {
    socket.destroy();
    raw.destroy();
  }
}
