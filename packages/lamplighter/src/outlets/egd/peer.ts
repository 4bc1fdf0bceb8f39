import type { Socket } from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import * as native from '@lamplighter/native';
import { type Ability, unable } from '../../local/ability.js';

/** Who may ask: users by number, or processes whose own (effective) group is one of these. */
export interface PeerList {
  readonly uids: readonly number[];
  readonly gids: readonly number[];
}

/** The part of `@lamplighter/native` that knows peers. One door, so that a test can stand without the addon. */
export interface PeerDoor {
  available(): Ability<unknown>;
  peerCredentials(fd: number): Ability<{ readonly uid: number; readonly gid: number }>;
}

export const systemPeerDoor: PeerDoor = {
  available: native.nativeAddon,
  peerCredentials: native.peerCredentials,
};

/**
 * Refuses a list that could not be checked.
 * @throws LamplighterError ERR_PEER_CREDENTIALS without the addon
 */
export function refuseUnlessCheckable(door: PeerDoor): void {
  const addon = door.available();
  if (addon.supported) return;
  throw new LamplighterError(
    'ERR_PEER_CREDENTIALS',
    `uids and gids cannot be checked here: ${addon.reason}`,
    { hint: 'install the native addon, or remove uids and gids: the folder alone then protects the socket' },
  );
}

/** Whether the kernel says that the process at the other end is on the list. No answer is a no. */
export function isOnList(socket: Socket, list: PeerList, door: PeerDoor): boolean {
  const peer = credentialsOf(socket, door);
  if (!peer.supported) return false;
  return list.uids.includes(peer.value.uid) || list.gids.includes(peer.value.gid);
}

/** Node keeps a socket's descriptor to itself; this is where it is. */
function credentialsOf(socket: Socket, door: PeerDoor): ReturnType<PeerDoor['peerCredentials']> {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number' || fd < 0) return unable('the connection is already closed');
  return door.peerCredentials(fd);
}
