import path from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { MAX_SOCKET_PATH_BYTES } from '../../wire/egd-address.js';
import { TRICKLE_PORT } from '../../wire/trickle.js';

/** Entries of a folder that are looked at. Who can write there can write more; the rest is not seen. */
const MAX_ENTRIES = 4096;
/** Names that are shown in statuses and messages. */
const GUEST_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}$/;
const SUFFIX = '.sock';

/**
 * Looks which guests have a socket in a folder: `GUEST.sock`, or `GUEST/org.openmirage.entropy.1` as libvirt makes them when
 * a domain's channel names no path. Nothing is opened but the folder; links are not followed.
 *
 * @param folder - on this machine, not on a network share
 * @returns paths by name, at most `maxGuests`, and whether there are more; no guests when there is no such folder (yet)
 * @throws LamplighterError ERR_SOCKET_FOLDER
 */
export async function lookForGuests(
  folder: string,
  maxGuests: number,
  fs: Environment['fs'],
): Promise<{ readonly guests: ReadonlyMap<string, string>; readonly more: boolean }> {
  const guests = new Map<string, string>();
  try {
    let entries = 0;
    for await (const { name } of await fs.opendir(folder, { bufferSize: 64 })) {
      entries += 1;
      if (entries > MAX_ENTRIES) return { guests, more: true };
      const guest = guestOf(name);
      if (!GUEST_NAME.test(guest) || guests.has(guest)) continue;
      const socket = await socketOf(path.join(folder, name), fs);
      if (socket === undefined) continue;
      if (guests.size === maxGuests) return { guests, more: true };
      guests.set(guest, socket);
    }
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    if (code !== 'ENOENT') {
      const hint = 'let the user of this service read and enter it';
      throw new LamplighterError('ERR_SOCKET_FOLDER', `the folder ${folder} cannot be read (${code})`, {
        hint,
        cause,
      });
    }
  }
  return { guests, more: false };
}

/** What a guest is called whose socket is this: the file's name without `.sock`, or the folder's of libvirt's. */
export function guestNameOf(socketPath: string): string {
  const name = path.basename(socketPath);
  return name === TRICKLE_PORT ? path.basename(path.dirname(socketPath)) : guestOf(name);
}

/** Whether a name somebody says means this guest: libvirt puts `domain-7-` or `7-` in front of its domains' names. */
export function isGuest(name: string, said: string): boolean {
  return name === said || name.replace(/^(?:domain-)?\d+-/, '') === said;
}

const guestOf = (name: string): string => (name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : name);

/** The socket that an entry is or holds. */
async function socketOf(entry: string, fs: Environment['fs']): Promise<string | undefined> {
  const candidates = entry.endsWith(SUFFIX) ? [entry] : [path.join(entry, TRICKLE_PORT)];
  for (const candidate of candidates) {
    if (Buffer.byteLength(candidate) > MAX_SOCKET_PATH_BYTES) continue;
    const stats = await fs.lstat(candidate).catch(() => undefined);
    if (stats?.isSocket() === true) return candidate;
  }
  return undefined;
}
