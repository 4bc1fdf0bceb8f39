import { isIP, isIPv6 } from 'node:net';

/** 16-bit groups of an IPv6 address that tell one customer from another (RFC 6177): who has one /64 has all its addresses. */
const PREFIX_GROUPS = 4;

/** Whether a name or address always means this machine, whatever a resolver says. */
export function isLoopback(name: string): boolean {
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));
}

/**
 * Whom an address stands for when shares are given out: an IPv4 address, also one mapped into IPv6, for itself; an IPv6
 * address for its /64. Behind one network may be one machine or, with NAT, a whole site.
 * @param address - as a socket gives it; those without one count as one
 */
export function networkOf(address: string | undefined): string {
  if (address === undefined) return '';
  if (!isIPv6(address)) return address;
  const [digits = ''] = address.toLowerCase().split('%');
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(digits)?.[1] ?? prefixOf(digits);
}

function prefixOf(digits: string): string {
  const [head = '', tail] = digits.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  // An IPv4 address at the end stands for two groups.
  const length = right.length + (digits.includes('.') ? 1 : 0);
  const zeros = tail === undefined ? 0 : 8 - left.length - length;
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  const prefix = groups.slice(0, PREFIX_GROUPS).map((group) => Number.parseInt(group, 16).toString(16));
  return `${prefix.join(':')}::/64`;
}
