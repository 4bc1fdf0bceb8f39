import type { PeerIdentity, Role } from './roles.js';

/** How much one identity may take: a role and a name, whichever certificate it shows. Whole numbers. */
export interface Quota {
  /** How fast what was taken comes back. */
  readonly beaconsPerMinute: number;
  /** The most taken at once by who has taken nothing for long. */
  readonly beaconBurst: number;
  readonly feedBytesPerMinute: number;
  readonly feedBurstBytes: number;
  /** Open at one moment. */
  readonly connections: number;
}

/** What a node is told about its peers: who is let in no more, and who may take more or less than others of its role. */
export interface Policy {
  /** Names, of whatever role. */
  readonly revokedNames: ReadonlySet<string>;
  /** Serial numbers as {@link normalSerial} writes them. */
  readonly revokedSerials: ReadonlySet<string>;
  /** By name; what is left out is as the role has it. */
  readonly quotas: ReadonlyMap<string, Partial<Quota>>;
}

/** Nobody is revoked, and everybody has the quota of its role. */
export const NO_POLICY: Policy = { revokedNames: new Set(), revokedSerials: new Set(), quotas: new Map() };

/** Revoked names, revoked serials and quotas together. */
export const MAX_POLICY_ENTRIES = 100_000;

/** A feed at the slowest interval, one frame of 88 bytes a minute, is the least that anybody can be left with. */
const LEAST_FEED_BYTES = 88;
/** Ten megabytes a second: 110,000 frames, more than a node makes. */
const MOST_FEED_BYTES = 600_000_000;
/** A hundred thousand a second, more than a node makes. */
const MOST_BEACONS = 6_000_000;

/** The least and the most each field of a {@link Quota} may be. Who may take nothing at all is revoked instead. */
export const QUOTA_BOUNDS: Readonly<Record<keyof Quota, { readonly least: number; readonly most: number }>> =
  {
    beaconsPerMinute: { least: 1, most: MOST_BEACONS },
    beaconBurst: { least: 1, most: MOST_BEACONS },
    feedBytesPerMinute: { least: LEAST_FEED_BYTES, most: MOST_FEED_BYTES },
    feedBurstBytes: { least: LEAST_FEED_BYTES, most: MOST_FEED_BYTES },
    connections: { least: 1, most: 65_536 },
  };

/** The fields of a {@link Quota}, in the order in which they are shown. */
export const QUOTA_FIELDS: readonly (keyof Quota)[] = [
  'beaconsPerMinute',
  'beaconBurst',
  'feedBytesPerMinute',
  'feedBurstBytes',
  'connections',
];

/** Roles that no feed is given to: the number means nothing and is the least there can be. */
const NO_FEED = { feedBytesPerMinute: LEAST_FEED_BYTES, feedBurstBytes: LEAST_FEED_BYTES };
/** 64 feeds at the shortest interval, ten frames of 88 bytes a second each: 3.4 MB a minute. */
const MANY_FEEDS = { feedBytesPerMinute: 4_000_000, feedBurstBytes: 4_000_000 };

/**
 * What each role may take unless told otherwise: meant for what has run wild or was taken over, and never met by an honest
 * peer, however unlucky its hour.
 *
 * - `machine`: one agent asks once a boot, once a resume, every ten minutes (give or take a fifth), and after a failure with a
 *   back-off from 2 s: at its very worst 30 times a minute. Many may share one name: containers, or the boots of one image. 300
 *   of them may start in one second; then 1,200 may refresh for ever. A beacon takes 20 to 100 ms of one connection, so that
 *   64 at one moment are over 600 a second. A hostile machine takes two beacons a second, one ten-thousandth of a node.
 * - `service`: fetches as often as it likes, up to 100 beacons a second, from several processes, each perhaps with a feed.
 * - `relay`: asks for one beacon every few seconds at most and holds one feed per upstream entry, but several nodes may stand
 *   behind one name, start at once, and follow the policy too.
 * - `office`, `admin`: neither beacons nor feeds are for them; they renew, and an office may follow the policy.
 */
export const DEFAULT_QUOTAS: Readonly<Record<Role, Quota>> = {
  office: { beaconsPerMinute: 60, beaconBurst: 60, ...NO_FEED, connections: 32 },
  relay: { beaconsPerMinute: 600, beaconBurst: 600, ...MANY_FEEDS, connections: 128 },
  service: { beaconsPerMinute: 6_000, beaconBurst: 6_000, ...MANY_FEEDS, connections: 128 },
  machine: { beaconsPerMinute: 120, beaconBurst: 300, ...NO_FEED, connections: 64 },
  admin: { beaconsPerMinute: 60, beaconBurst: 60, ...NO_FEED, connections: 16 },
};

/**
 * Whether a peer is let in no more, by its name or by its certificate. Asked at every request: two look-ups.
 *
 * A serial number is one CA's own. Where certificates of several CAs are accepted and two bear the same number, both are
 * revoked.
 */
export function isRevoked(policy: Policy, peer: Pick<PeerIdentity, 'name' | 'serial'>): boolean {
  return policy.revokedNames.has(peer.name) || policy.revokedSerials.has(peerSerial(peer.serial));
}

/**
 * A serial number in the one way in which policies hold it: upper-case hex without leading zeros.
 * @param text - hex in either case; colons between its bytes, as openssl prints them, and a leading 0x are taken
 * @returns at most 64 digits; undefined when it is none or has more
 */
export function normalSerial(text: string): string | undefined {
  const digits = /^(?:0[xX])?([0-9A-Fa-f]{1,64})$/.exec(text.replaceAll(':', ''))?.[1];
  return digits === undefined ? undefined : withoutZeros(digits.toUpperCase());
}

/**
 * Reads a quota that came from outside.
 * @returns the fields that are there; undefined when it is no object, or one of them is out of its bounds or no whole number.
 *   Fields we do not know are left out
 */
export function readQuota(value: unknown): Partial<Quota> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const given = new Map<string, unknown>(Object.entries(value));
  const quota: Partial<Record<keyof Quota, number>> = {};
  for (const field of QUOTA_FIELDS) {
    const number = given.get(field);
    if (number === undefined) continue;
    const { least, most } = QUOTA_BOUNDS[field];
    if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < least || number > most) {
      return undefined;
    }
    quota[field] = number;
  }
  return quota;
}

/** Node prints a certificate's serial in upper case and whole bytes, so that one leading zero can stand there. */
function peerSerial(serial: string): string {
  return serial.startsWith('0') ? withoutZeros(serial) : serial;
}

const withoutZeros = (digits: string): string => digits.replace(/^0+(?=.)/, '');
