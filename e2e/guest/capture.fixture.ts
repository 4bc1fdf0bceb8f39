import { readFileSync } from 'node:fs';

/** One TCP segment, as it was on the wire. */
export interface Segment {
  /** Who sent it and who gets it: `10.0.2.15:41234`. */
  readonly from: string;
  readonly to: string;
  readonly syn: boolean;
  readonly fin: boolean;
  readonly rst: boolean;
  readonly payload: Buffer;
}

// The file: https://www.tcpdump.org/manpages/pcap-savefile.5.txt. QEMU's filter-dump writes this one, in its own byte order.
const MAGIC = 0xa1b2c3d4;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET_BYTES = 14;
const IPV4 = 0x0800;
const TCP = 6;
const FLAG = { fin: 0x01, syn: 0x02, rst: 0x04 } as const;
// TLS: RFC 8446, 4.1.2 and 5.1.
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const RANDOM_AT = 11;
const RANDOM_BYTES = 32;

/** What QEMU's `-object filter-dump` wrote so far: every TCP segment of IPv4. What is cut off at the end is still being written. */
export function readCapture(file: string): Segment[] {
  const all = readFileSync(file);
  if (all.length < FILE_HEADER_BYTES) return [];
  if (all.readUInt32LE(0) !== MAGIC) throw new Error(`${file} is no capture`);
  const segments: Segment[] = [];
  for (let at = FILE_HEADER_BYTES; at + RECORD_HEADER_BYTES <= all.length;) {
    const length = all.readUInt32LE(at + 8);
    const frame = all.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length);
    if (frame.length < length) break;
    const segment = segmentOf(frame);
    if (segment !== undefined) segments.push(segment);
    at += RECORD_HEADER_BYTES + length;
  }
  return segments;
}

/** What a connection that was open before the capture began sent since: from whom, and each payload. */
export function sentOnOldConnections(
  segments: readonly Segment[],
  address: string,
): { payloads: Buffer[]; ended: boolean }[] {
  const isNew = new Set(
    segments.filter(({ syn }) => syn).flatMap(({ from, to }) => [`${from} ${to}`, `${to} ${from}`]),
  );
  const old = new Map<string, { payloads: Buffer[]; ended: boolean }>();
  for (const { from, to, payload, fin, rst } of segments) {
    const name = `${from} ${to}`;
    if (!from.startsWith(`${address}:`) || isNew.has(name)) continue;
    const seen = old.get(name) ?? { payloads: [], ended: false };
    if (payload.length > 0) seen.payloads.push(payload);
    seen.ended ||= fin || rst;
    old.set(name, seen);
  }
  return [...old.values()];
}

/** The random of every ClientHello in a capture, in hexadecimal: the first that a process's OpenSSL gave for a connection. */
export function clientRandoms(segments: readonly Segment[]): string[] {
  return segments
    .map(({ payload }) => payload)
    .filter((payload) => payload[0] === HANDSHAKE && payload[5] === CLIENT_HELLO)
    .map((payload) => payload.toString('hex', RANDOM_AT, RANDOM_AT + RANDOM_BYTES));
}

function segmentOf(frame: Buffer): Segment | undefined {
  if (frame.length < ETHERNET_BYTES + 40 || frame.readUInt16BE(12) !== IPV4) return undefined;
  const packet = frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + frame.readUInt16BE(ETHERNET_BYTES + 2));
  if (packet[9] !== TCP) return undefined;
  const tcp = packet.subarray(4 * ((packet[0] ?? 0) & 0x0f));
  const address = (at: number): string => packet.subarray(at, at + 4).join('.');
  const flags = tcp[13] ?? 0;
  return {
    from: `${address(12)}:${tcp.readUInt16BE(0)}`,
    to: `${address(16)}:${tcp.readUInt16BE(2)}`,
    syn: (flags & FLAG.syn) !== 0,
    fin: (flags & FLAG.fin) !== 0,
    rst: (flags & FLAG.rst) !== 0,
    payload: tcp.subarray(4 * ((tcp[12] ?? 0) >> 4)),
  };
}
