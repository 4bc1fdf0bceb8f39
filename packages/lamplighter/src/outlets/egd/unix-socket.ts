import type { Server } from 'node:net';
import path from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { MAX_SOCKET_PATH_BYTES } from '../../wire/egd-address.js';

/** How long whoever may answer on a socket that is already there is waited for. */
const ANSWER_WITHIN_MS = 1_000;
/** Of a folder's mode: write for the group, anything for others. */
const TOO_OPEN = 0o027;

/** A socket in its place. */
export interface PlacedSocket {
  /** Removes it if it is still the one that was placed. Connections already made go on. */
  remove(): Promise<void>;
}

/**
 * Lets a server listen on a unix socket in a folder that only we, or we and our group, can enter.
 *
 * The folder is made before the socket (its parent must exist) or checked. The socket is bound under another name and then
 * renamed, so that nobody meets it with the wrong mode, and so that closing the server, which unlinks the name it was bound
 * to whatever stands there by then, never removes what is not ours. A socket that nobody answers on is replaced.
 *
 * @param options - `path`: absolute; `folderMode`: 0o700 or 0o750, for a folder that is made
 * @throws LamplighterError ERR_SOCKET_FOLDER, ERR_SOCKET_IN_USE, ERR_LISTEN; nothing is left behind then
 */
export async function listenOnUnixSocket(
  server: Server,
  options: { readonly path: string; readonly folderMode: number },
  environment: Pick<Environment, 'fs' | 'connect' | 'timers'>,
): Promise<PlacedSocket> {
  const { fs } = environment;
  const folder = path.dirname(options.path);
  const groupMayEnter = await prepareFolder(folder, options.folderMode, fs);
  await refuseUnlessFree(options.path, environment);
  const temporary = path.join(folder, `.${process.pid}.new`);
  if (Buffer.byteLength(temporary) > MAX_SOCKET_PATH_BYTES) {
    throw notHere(options.path, 'the folder has too long a path', 'choose a shorter one');
  }
  // Left by an earlier process of this number that was killed between the two steps.
  if ((await statOrNothing(temporary, fs))?.isSocket() === true) await fs.unlink(temporary);
  await bind(server, temporary, options.path);
  try {
    await fs.chmod(temporary, groupMayEnter ? 0o660 : 0o600);
    const { dev, ino } = await fs.lstat(temporary);
    await fs.rename(temporary, options.path);
    return {
      async remove() {
        const there = await statOrNothing(options.path, fs);
        if (there?.isSocket() === true && there.dev === dev && there.ino === ino)
          await fs.unlink(options.path);
      },
    };
  } catch (error) {
    server.close();
    throw notHere(options.path, codeOf(error), 'see that the folder can be written', error);
  }
}

/** @returns whether the group may enter it */
async function prepareFolder(folder: string, mode: number, fs: Environment['fs']): Promise<boolean> {
  try {
    await fs.mkdir(folder, 0o700);
    // mkdir takes the umask off; a folder just made is empty, so nothing was open meanwhile.
    await fs.chmod(folder, mode);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      throw badFolder(
        folder,
        `cannot be made (${codeOf(error)})`,
        'its parent folder must exist and be ours',
      );
    }
  }
  const stat = await fs.lstat(folder);
  if (!stat.isDirectory()) throw badFolder(folder, 'is no folder', 'choose another, or remove what is there');
  const user = process.geteuid?.() ?? 0;
  if (stat.uid !== user && stat.uid !== 0) {
    throw badFolder(
      folder,
      `belongs to user ${stat.uid}`,
      'its owner could replace the socket: choose another',
    );
  }
  if ((stat.mode & TOO_OPEN) !== 0) {
    const shown = (stat.mode & 0o7777).toString(8).padStart(4, '0');
    throw badFolder(
      folder,
      `has mode ${shown}`,
      `\`chmod 0750 ${folder}\`, or let us make a folder of our own`,
    );
  }
  return (stat.mode & 0o010) !== 0;
}

/** @throws LamplighterError when something stands there that must not be replaced */
async function refuseUnlessFree(
  socketPath: string,
  environment: Pick<Environment, 'fs' | 'connect' | 'timers'>,
): Promise<void> {
  const there = await statOrNothing(socketPath, environment.fs);
  if (there === undefined) return;
  if (!there.isSocket()) {
    throw notHere(
      socketPath,
      'something else than a socket is there',
      'move it away, or choose another path',
    );
  }
  const answer = await knock(socketPath, environment);
  // Only a refusal means that nobody listens. Anything else may be a busy server, or one that we may not reach.
  if (answer === 'ECONNREFUSED' || answer === 'ENOENT') return;
  throw new LamplighterError('ERR_SOCKET_IN_USE', `another process answers on ${socketPath} (${answer})`, {
    hint: `stop it (\`ss -lxp src ${socketPath}\` names it) or choose another path`,
  });
}

/** What a connection to it comes to: `connected`, or the code of the error. */
function knock(
  socketPath: string,
  { connect, timers }: Pick<Environment, 'connect' | 'timers'>,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path: socketPath });
    const settle = (answer: string): void => {
      late.cancel();
      socket.destroy();
      resolve(answer);
    };
    const late = timers.after(ANSWER_WITHIN_MS, () => settle('no answer'));
    socket.once('connect', () => settle('connected'));
    socket.on('error', (error) => settle(codeOf(error)));
  });
}

function bind(server: Server, temporary: string, shown: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void =>
      reject(notHere(shown, codeOf(error), 'see that the folder can be written', error));
    server.once('error', refuse);
    server.listen({ path: temporary }, () => {
      server.off('error', refuse);
      resolve();
    });
  });
}

async function statOrNothing(file: string, fs: Environment['fs']) {
  try {
    return await fs.lstat(file);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw notHere(file, codeOf(error), 'see that the folder can be entered', error);
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';

function badFolder(folder: string, why: string, hint: string): LamplighterError {
  return new LamplighterError('ERR_SOCKET_FOLDER', `the folder ${folder} ${why}`, { hint });
}

function notHere(socketPath: string, why: string, hint: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_LISTEN', `cannot listen on ${socketPath} (${why})`, { hint, cause });
}
