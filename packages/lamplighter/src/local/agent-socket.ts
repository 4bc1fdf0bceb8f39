import net from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import type { LibrarySource } from './own-sources.js';

/** Where an agent of this machine listens unless told. */
export const DEFAULT_AGENT_SOCKET = '/run/lamplighter/egd.sock';
const ANSWER_LENGTH_BYTES = 64;
const DEADLINE_MS = 2_000;
/** EGD: command 02, then how many bytes. */
const READ = Uint8Array.of(0x02, ANSWER_LENGTH_BYTES);

/**
 * The agent of this machine as a source of the library: 64 bytes from its local socket, over a connection of its own.
 *
 * Source: DESIGN section 8, EGD. Whoever may be behind the socket: his bytes are mixed, never counted. A machine without an
 * agent is silent; an agent that does not answer in 2 s has failed. It keeps no process alive.
 * @param path - of the unix socket
 */
export function agentSocket(path: string): LibrarySource {
  return {
    name: 'agent',
    sample: () =>
      new Promise((resolve, reject) => {
        const socket = net.connect(path).unref();
        const answer = new Uint8Array(ANSWER_LENGTH_BYTES);
        let length = 0;
        const deadline = setTimeout(() => {
          socket.destroy();
          reject(new LamplighterError('ERR_DEADLINE', `no answer from ${path} in ${DEADLINE_MS} ms`));
        }, DEADLINE_MS).unref();
        socket.on('data', (chunk) => {
          const part = chunk.subarray(0, answer.length - length);
          answer.set(part, length);
          length += part.length;
          chunk.fill(0);
          if (length < answer.length) return;
          socket.destroy();
          resolve(answer);
        });
        socket.on('error', (cause: NodeJS.ErrnoException) => {
          if (cause.code === 'ENOENT') resolve(undefined);
          else reject(new LamplighterError('ERR_SOURCE_ABSENT', `no agent answers at ${path}`, { cause }));
        });
        socket.on('close', () => {
          clearTimeout(deadline);
          reject(new LamplighterError('ERR_SOURCE_ABSENT', `${path} closed before it had answered`));
        });
        socket.write(READ);
      }),
  };
}
