import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { ListenerMaterial } from '../../wire/listener.js';
import { isLoopback } from '../../wire/network.js';
import type { OwnNames } from './request-checks.js';

/** What the listener is called by: its certificate's names, or those of loopback. */
export class OwnHost implements OwnNames {
  readonly scheme: 'http' | 'https';
  readonly #host: string;
  #clientCa: Buffer | undefined;
  #certificate: ReturnType<typeof namesOf> | undefined;

  constructor(host: string, material: ListenerMaterial | undefined) {
    this.scheme = material === undefined ? 'http' : 'https';
    this.#host = host;
    this.#clientCa = material?.clientCa;
    this.#certificate = material && namesOf(material.cert);
  }

  isOwn(name: string): boolean {
    return (isLoopback(this.#host) && isLoopback(name)) || this.#certificate?.covers(name) === true;
  }

  /** A name that a browser can use and verify, with brackets where it needs them. */
  forUrl(): string {
    const isGood = this.#certificate?.covers(this.#host) ?? true;
    const name = isGood ? this.#host : (this.#certificate?.first ?? this.#host);
    return name.includes(':') ? `[${name}]` : name;
  }

  /** Another certificate. @returns whether clients are certified by another CA now */
  replace({ cert, clientCa }: ListenerMaterial): boolean {
    const before = this.#clientCa;
    this.#certificate = namesOf(cert);
    this.#clientCa = clientCa;
    return clientCa === undefined ? before !== undefined : before?.equals(clientCa) !== true;
  }
}

/**
 * Which names a certificate is for. Whoever asks by another name has not verified it, or has been led here.
 * @param pem - the leaf first
 */
function namesOf(pem: Buffer): { covers(name: string): boolean; readonly first: string | undefined } {
  const leaf = new X509Certificate(pem);
  const entries = (leaf.subjectAltName ?? '').split(', ');
  const values = entries.flatMap((entry) => /^(?:DNS|IP Address):([^"*]+)$/.exec(entry)?.[1] ?? []);
  return {
    covers: (name) =>
      isIP(name) === 0
        ? leaf.checkHost(name, { subject: 'never', partialWildcards: false }) !== undefined
        : leaf.checkIP(name) !== undefined,
    first: values[0],
  };
}
