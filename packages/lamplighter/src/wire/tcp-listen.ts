import net from 'node:net';
import { listenError } from './listen-error.js';

/**
 * Connections that the system may hold for us. When they are more it drops the next without a word and without a choice, and
 * its client tries again after a second or three; node's 511 are not enough for 600 machines that boot at once.
 */
const BACKLOG = 1_024;

/**
 * Listens on TCP and hands over what comes.
 * @param address - port 0 lets the system choose
 * @param onConnection - gets every connection
 * @param onLost - the system has dropped one connection, most likely because file descriptors ran out; the rest carries on
 * @throws LamplighterError ERR_PORT_IN_USE, ERR_LISTEN
 */
export async function listenTcp(
  address: { host: string; port: number },
  onConnection: (socket: net.Socket) => void,
  onLost: () => void,
): Promise<{ server: net.Server; bound: { host: string; port: number } }> {
  const server = net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 });
  server.on('connection', onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, address)));
    server.listen({ ...address, backlog: BACKLOG }, resolve);
  });
  server.on('error', onLost);
  const bound = server.address();
  return {
    server,
    bound: bound !== null && typeof bound === 'object' ? { host: bound.address, port: bound.port } : address,
  };
}
