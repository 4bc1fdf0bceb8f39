import path from 'node:path';
import type { ErrorCode } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { parseEgdAddress } from '../../wire/egd-address.js';
import type { NodeConfig } from '../config.js';
import type { QemuGroup } from './host-machine.js';

/** A folder that guests' QEMUs cannot enter, and what to do about it. */
export interface FolderFault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** Files made in it get its group, not that of whoever makes them. */
const SET_GROUP = 0o2000;
const ENTER = 0o010;

/**
 * Makes the folders of the EGD sockets so that QEMU may enter them: with its group, which the sockets then get too. Without this
 * the outlet makes them with the group of this process.
 *
 * Only folders for which the configuration says 0750 are made; one that is there is looked at and left as it is.
 * @param group - that QEMU runs as
 * @returns what a person has to know; nothing is thrown, because other guests, and the node, can do without
 */
export async function prepareGuestFolders(
  config: Pick<NodeConfig, 'outlets'>,
  group: QemuGroup,
  { fs }: Pick<Environment, 'fs'>,
): Promise<FolderFault[]> {
  const faults: FolderFault[] = [];
  for (const folder of foldersOf(config)) {
    const fault = (await make(folder, group, fs)) ?? (await look(folder, group, fs));
    if (fault !== undefined) faults.push(fault);
  }
  return faults;
}

function foldersOf({ outlets }: Pick<NodeConfig, 'outlets'>): ReadonlySet<string> {
  const folders = outlets.flatMap((outlet) => {
    if (outlet.kind !== 'egd' || outlet.folderMode !== '0750') return [];
    const endpoint = parseEgdAddress(outlet.listen);
    return 'path' in endpoint ? [path.dirname(endpoint.path)] : [];
  });
  return new Set(folders);
}

/** @returns a fault when it was made and could not be given to the group */
async function make(
  folder: string,
  group: QemuGroup,
  fs: Environment['fs'],
): Promise<FolderFault | undefined> {
  try {
    await fs.mkdir(folder, 0o700);
  } catch {
    // It is there, or the outlet will say why it cannot be made.
    return undefined;
  }
  try {
    await fs.chown(folder, -1, group.id);
    // After chown, which takes the bit off.
    await fs.chmod(folder, SET_GROUP | 0o750);
    return undefined;
  } catch (error) {
    await fs.chmod(folder, 0o750);
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return fault(folder, group, `it cannot be given to that group (${code})`);
  }
}

async function look(
  folder: string,
  group: QemuGroup,
  fs: Environment['fs'],
): Promise<FolderFault | undefined> {
  const stat = await fs.stat(folder).catch(() => undefined);
  if (stat === undefined) return undefined;
  if (stat.gid !== group.id) return fault(folder, group, `its group is number ${stat.gid}`);
  return (stat.mode & ENTER) === 0 ? fault(folder, group, 'its mode does not let its group in') : undefined;
}

function fault(folder: string, { name }: QemuGroup, why: string): FolderFault {
  return {
    code: 'ERR_SOCKET_FOLDER',
    message: `guests that run with group ${name} cannot enter ${folder}: ${why}`,
    hint: `\`chgrp ${name} ${folder} && chmod 2750 ${folder}\`, or run this service with that group (deploy/libvirt)`,
  };
}
