import net from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Destroys what carries a TLS connection so that not one more byte of ours goes out, neither what OpenSSL has ready nor a
 * farewell: two restores of one snapshot share keys and record numbers, and one more record would be a nonce used twice.
 *
 * Source: DESIGN 6.4, step 1. TCP is reset, which also drops what the kernel had not sent yet. To be called on the carrier,
 * before the TLS socket on it is destroyed.
 */
export function cutDuplex(duplex: Duplex): void {
  // Only TCP has an address, and only what is connected can be reset.
  if (duplex instanceof net.Socket && duplex.remoteAddress !== undefined) duplex.resetAndDestroy();
  else duplex.destroy();
}
