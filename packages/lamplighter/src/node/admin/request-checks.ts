import type { IncomingMessage } from 'node:http';
import { LamplighterError } from '@lamplighter/core';

/** What the listener is called by. */
export interface OwnNames {
  readonly scheme: 'http' | 'https';
  /** Whether a host name, without port and brackets, is one of its own. */
  isOwn(name: string): boolean;
}

/**
 * Refuses what a browser sends for somebody else: a page of another site that has its name resolve to this address (DNS
 * rebinding: the Host is foreign), or that asks across origins (Origin and Sec-Fetch-Site say so). Opening one of our pages by a link on
 * another site is no such thing: nobody but the person sees the answer.
 *
 * Programs that are no browsers send neither Origin nor Sec-Fetch-Site.
 *
 * @throws LamplighterError ERR_BAD_REQUEST without exactly one usable Host; ERR_ORIGIN
 */
export function checkOrigin({ headers, method, headersDistinct }: IncomingMessage, own: OwnNames): void {
  const { host, origin } = headers;
  if (host === undefined || (headersDistinct['host']?.length ?? 0) !== 1) {
    throw new LamplighterError('ERR_BAD_REQUEST', 'a request needs one Host header');
  }
  if (!own.isOwn(hostName(host))) throw refused('this listener is not called so (Host)');
  if (origin !== undefined && origin.toLowerCase() !== `${own.scheme}://${host.toLowerCase()}`) {
    throw refused('another origin asks (Origin)');
  }
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin') return;
  const isRead = method === 'GET' || method === 'HEAD';
  const isOpened = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  if (isRead && (site === 'none' || isOpened)) return;
  throw refused('another site asks (Sec-Fetch-Site)');
}

/** The name in a Host header, lower-case, without port and brackets. */
function hostName(host: string): string {
  return host
    .toLowerCase()
    .replace(/:[0-9]*$/, '')
    .replace(/^\[(.*)\]$/, '$1');
}

function refused(message: string): LamplighterError {
  return new LamplighterError('ERR_ORIGIN', message, {
    hint: 'open the dashboard at the address the node logs at its start',
  });
}
