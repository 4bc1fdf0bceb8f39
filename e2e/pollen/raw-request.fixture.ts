import net from 'node:net';

/** The first answer to a request, as far as a client of pollen looks at it. */
export interface RawReply {
  readonly status: number;
  readonly type: string | undefined;
  /** Of `Content-Length`, NaN when there is none. */
  readonly lengthBytes: number;
  readonly body: string;
}

/** Longer than any of the two servers takes; waited out only where one of them says nothing. */
const SILENCE_MS = 5_000;

/** For tests: sends bytes to 127.0.0.1 and reads one answer; undefined when there was none. */
export async function sendRaw(port: number, request: Uint8Array): Promise<RawReply | undefined> {
  const isHead = Buffer.from(request.subarray(0, 5)).toString('latin1') === 'HEAD ';
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.setTimeout(SILENCE_MS, () => socket.destroy());
  socket.write(request);
  let text = '';
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      // An interim answer is not the one that is waited for.
      text = (text + chunk.toString('latin1')).replace(/^HTTP\/1\.1 100 [^]*?\r\n\r\n/, '');
      const reply = replyIn(text);
      if (reply !== undefined && (isHead || reply.body.length >= reply.lengthBytes)) break;
    }
  } catch {
    // Reset by a server that did not read all that was sent: what it said before counts.
  } finally {
    socket.destroy();
  }
  return replyIn(text);
}

function replyIn(text: string): RawReply | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  const lengthBytes = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
  return {
    status: Number(head.split(' ')[1]),
    type: /\r\ncontent-type: ([^\r]+)/i.exec(head)?.[1],
    lengthBytes,
    body: text.slice(end + 4),
  };
}
