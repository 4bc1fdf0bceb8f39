import {
  type XenstoreConnection,
  XenstoreRefusal,
  isXenstoreRefusal,
} from '../../wire/xenstore-connection.js';
import { XENSTORE_TYPE, splitXenstoreFields, xenstoreFields } from '../../wire/xenstore.js';
import { DOMAINS_FOLDER, guestNumber } from './news.js';

const LIST = 'list the domains';
/** Parts of a long list of domains: 4,096 names fill seven. */
const MAX_LIST_PARTS = 64;
/** How often a list that changes while it is read is begun again. */
const MAX_LIST_ATTEMPTS = 8;

/** Whether xenstored knows a domain, and so listens to it. */
export async function isIntroduced(connection: XenstoreConnection, domain: number): Promise<boolean> {
  const answer = await connection.request(XENSTORE_TYPE.isDomainIntroduced, xenstoreFields(String(domain)), {
    what: `tell of domain ${domain}`,
  });
  return answer[0] === 'T'.charCodeAt(0);
}

/**
 * The guests that have a folder, in the daemon's order.
 * @throws XenstoreRefusal EAGAIN when the list changed at every attempt
 */
export async function listGuests(connection: XenstoreConnection): Promise<readonly number[]> {
  const names = (await listWhole(connection)) ?? (await listInParts(connection));
  return names.map(guestNumber).filter((domain) => domain !== undefined);
}

/** @returns undefined when the list is too long for one answer */
async function listWhole(connection: XenstoreConnection): Promise<readonly string[] | undefined> {
  try {
    return splitXenstoreFields(
      await connection.request(XENSTORE_TYPE.directory, xenstoreFields(DOMAINS_FOLDER), { what: LIST }),
    );
  } catch (error) {
    if (isXenstoreRefusal(error, 'ENOENT')) return [];
    if (isXenstoreRefusal(error, 'E2BIG')) return undefined;
    throw error;
  }
}

/** DIRECTORY_PART: a generation, then names from an offset on, in bytes; an empty name ends the last part. */
async function listInParts(connection: XenstoreConnection): Promise<readonly string[]> {
  for (let attempt = 0; attempt < MAX_LIST_ATTEMPTS; attempt += 1) {
    const names: string[] = [];
    let first: string | undefined;
    let offset = 0;
    for (let part = 0; part < MAX_LIST_PARTS; part += 1) {
      const request = xenstoreFields(DOMAINS_FOLDER, String(offset));
      const answer = await connection.request(XENSTORE_TYPE.directoryPart, request, { what: LIST });
      const [generation, ...more] = splitXenstoreFields(answer);
      first ??= generation;
      if (generation === undefined || generation !== first) break;
      const last = more.indexOf('');
      names.push(...(last < 0 ? more : more.slice(0, last)));
      if (last >= 0) return names;
      offset += answer.length - generation.length - 1;
    }
  }
  throw new XenstoreRefusal(LIST, 'EAGAIN');
}
