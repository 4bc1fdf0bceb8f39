import { type XenstoreConnection, isXenstoreRefusal } from '../../wire/xenstore-connection.js';
import {
  XENSTORE_TYPE,
  encodeXenstoreEntropy,
  splitXenstoreFields,
  xenstoreFields,
  xenstoreWritePayload,
} from '../../wire/xenstore.js';
import { DOMAINS_FOLDER } from './news.js';

/** A guest may write where we do, and so make our transaction void; how often one is tried before others have their turn. */
const MAX_ATTEMPTS = 4;
/** The node of a domain, absolute. */
export function entropyNode(domain: number, path: string): string {
  return `${DOMAINS_FOLDER}/${domain}/${path}`;
}

/**
 * Gives a domain its bytes: all or nothing, in one transaction.
 *
 * The node is made *empty*, then its permissions are set (owner domain 0, that domain both, others none), and only then is it
 * written. That the domain's folder is still there is part of the transaction: else the folder of a domain that has just gone
 * would come back to life by our writing in it.
 *
 * @param path - relative to the domain's folder
 * @param bytes - the caller's, who wipes them
 * @returns `conflicts`: attempts that somebody made void; `placed`: false when the domain has gone
 * @throws XenstoreRefusal nothing was written; EAGAIN when every attempt was made void
 */
export async function placeEntropy(
  connection: XenstoreConnection,
  { domain, path, bytes }: { readonly domain: number; readonly path: string; readonly bytes: Uint8Array },
): Promise<{ readonly placed: boolean; readonly conflicts: number }> {
  for (let conflicts = 0; ; conflicts += 1) {
    const transactionId = await begin(connection);
    try {
      const placed = await write(connection, { domain, path, bytes, transactionId });
      await end(connection, transactionId, placed);
      return { placed, conflicts };
    } catch (error) {
      if (isXenstoreRefusal(error, 'EAGAIN') && conflicts + 1 < MAX_ATTEMPTS) continue;
      throw error;
    }
  }
}

async function write(
  connection: XenstoreConnection,
  target: { domain: number; path: string; bytes: Uint8Array; transactionId: number },
): Promise<boolean> {
  const { domain, transactionId } = target;
  const node = entropyNode(domain, target.path);
  const ask = (type: number, payload: Uint8Array, what: string): Promise<Uint8Array> =>
    connection.request(type, payload, { what: `${what} of domain ${domain}`, transactionId });
  try {
    await ask(XENSTORE_TYPE.read, xenstoreFields(`${DOMAINS_FOLDER}/${domain}`), 'read the folder');
  } catch (error) {
    if (isXenstoreRefusal(error, 'ENOENT')) return false;
    await abandon(connection, transactionId);
    throw error;
  }
  const value = encodeXenstoreEntropy(target.bytes);
  try {
    await ask(XENSTORE_TYPE.write, xenstoreWritePayload(node, new Uint8Array(0)), 'make the node');
    const permissions = xenstoreFields(node, 'n0', `b${domain}`);
    await ask(XENSTORE_TYPE.setPermissions, permissions, 'set the permissions of the node');
    await ask(XENSTORE_TYPE.write, xenstoreWritePayload(node, value), 'write the node');
    return true;
  } catch (error) {
    await abandon(connection, transactionId);
    throw error;
  } finally {
    value.fill(0);
  }
}

async function begin(connection: XenstoreConnection): Promise<number> {
  const answer = await connection.request(XENSTORE_TYPE.transactionStart, xenstoreFields(''), {
    what: 'begin a transaction',
  });
  return Number(splitXenstoreFields(answer)[0]) >>> 0;
}

async function end(
  connection: XenstoreConnection,
  transactionId: number,
  isToHappen: boolean,
): Promise<void> {
  await connection.request(XENSTORE_TYPE.transactionEnd, xenstoreFields(isToHappen ? 'T' : 'F'), {
    what: 'end a transaction',
    transactionId,
  });
}

/** What made us give up is what is told, not how giving up went. */
async function abandon(connection: XenstoreConnection, transactionId: number): Promise<void> {
  await end(connection, transactionId, false).catch(() => undefined);
}

/** Removes a domain's node and all below it, if there is one. Brings nothing back that is gone. */
export async function removeEntropy(
  connection: XenstoreConnection,
  domain: number,
  path: string,
): Promise<void> {
  try {
    await connection.request(XENSTORE_TYPE.remove, xenstoreFields(entropyNode(domain, path)), {
      what: `remove the node of domain ${domain}`,
    });
  } catch (error) {
    if (!isXenstoreRefusal(error, 'ENOENT')) throw error;
  }
}
