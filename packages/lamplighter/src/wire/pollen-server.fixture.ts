import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';

/** A pollen server that does whatever a test says. */
export interface ScriptedPollen {
  readonly port: number;
  /** Every request so far, whole. */
  readonly requests: string[];
  /** Connections accepted so far. */
  readonly connections: number;
  stop(): Promise<void>;
}

/** What a server writes once a request is whole; it closes or stalls as it likes. */
export type PollenScript = (challenge: string, socket: Duplex) => void;

/** For tests: serves a script on 127.0.0.1. @param options - `tls`: over TLS, with these options */
export async function scriptedPollen(
  script: PollenScript,
  options: { tls?: tls.TlsOptions } = {},
): Promise<ScriptedPollen> {
  const requests: string[] = [];
  const open = new Set<net.Socket>();
  let connections = 0;
  const converse = (socket: net.Socket): void => {
    let text = '';
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      const [head = '', body] = text.split('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (body === undefined || body.length < length) return;
      requests.push(text);
      text = '';
      script(body.slice('challenge='.length), socket);
    });
  };
  const server =
    options.tls === undefined ? net.createServer(converse) : tls.createServer(options.tls, converse);
  server.on('tlsClientError', () => undefined);
  server.on('connection', (socket: net.Socket) => {
    connections += 1;
    open.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    requests,
    get connections() {
      return connections;
    },
    async stop() {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, 'close');
    },
  };
}

/** For tests: the first line of a right answer. */
export function firstLine(challenge: string): string {
  return createHash('sha512').update(challenge).digest('hex');
}

/** For tests: the 258 bytes of a right answer. @param second - its second line; random unless told */
export function rightAnswer(challenge: string, second = randomBytes(64).toString('hex')): string {
  return `${firstLine(challenge)}\n${second}\n`;
}

/** For tests: a whole response, after which the connection closes. */
export function response(status: number, body: string, more = ''): string {
  const head = `HTTP/1.1 ${status} Whatever\r\nContent-Type: text/plain; charset=utf-8\r\n${more}`;
  return `${head}Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}
