import { isIP } from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import type { Holder } from './csr.js';
import { identityUri, isName, SERVER_ROLES, type Role } from './roles.js';

/** A CA to be made. */
export interface NewAuthority {
  /** Made with mode 0700 when it is not there. */
  readonly directory: string;
  /** What the CA calls itself, 1..64 letters, digits, spaces, dots and hyphens. */
  readonly name?: string;
  /** From now on, see `checkLife`; ten years by default. */
  readonly lifeMs?: number;
}

/** A certificate to be issued. */
export interface NewCertificate {
  /** Where `createAuthority` wrote. */
  readonly authorityDirectory: string;
  readonly role: Role;
  /** See `isName`; not `ca`. */
  readonly name: string;
  /** Host names, for office and relay only. */
  readonly dns?: readonly string[];
  /** IP addresses, for office and relay only. */
  readonly ip?: readonly string[];
  /** From now on, see `checkLife`; 30 days by default; cut to the CA's own end. */
  readonly lifeMs?: number;
  /** Receives NAME.pem, NAME.key and ca.pem; made with mode 0700 when it is not there. */
  readonly outDirectory: string;
  /** Replaces existing files; otherwise they are an error. */
  readonly overwrite?: boolean;
}

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;

/** One entry of a subjectAltName. */
export interface AlternativeName {
  readonly type: 'url' | 'dns' | 'ip';
  readonly value: string;
}

/**
 * The subjectAltName of a certificate: its one URI first, then DNS names and IP addresses.
 * @throws LamplighterError ERR_USAGE for a name or address that cannot be, or does not go with the role
 */
export function alternativeNames(request: Holder): AlternativeName[] {
  const { role, name, dns = [], ip = [] } = request;
  if (!isName(name)) {
    throw usage('a name is 1 to 63 of a-z, 0-9, dot and hyphen, and begins with a letter or digit');
  }
  if (name === 'ca') throw usage('the name ca would overwrite the certificate of the CA');
  const server = SERVER_ROLES.includes(role);
  if (server && dns.length + ip.length === 0) {
    throw usage(
      `a certificate for role ${role} needs at least one --dns or --ip`,
      'say what its clients connect to',
    );
  }
  if (!server && dns.length + ip.length > 0) {
    throw usage(
      `a certificate for role ${role} carries no --dns or --ip`,
      'only office and relay are servers',
    );
  }
  for (const host of dns) {
    if (!HOST_NAME.test(host) || isIP(host) !== 0)
      throw usage(`--dns ${JSON.stringify(host)} is not a host name`);
  }
  for (const address of ip) {
    if (isIP(address) === 0 || address.includes('%'))
      throw usage(`--ip ${JSON.stringify(address)} is not an IP address`);
  }
  return [
    { type: 'url', value: identityUri(role, name) },
    ...dns.map((value) => ({ type: 'dns' as const, value })),
    ...ip.map((value) => ({ type: 'ip' as const, value })),
  ];
}

/** An error for something a person typed. */
export function usage(message: string, hint?: string): LamplighterError {
  return new LamplighterError('ERR_USAGE', message, hint === undefined ? {} : { hint });
}
