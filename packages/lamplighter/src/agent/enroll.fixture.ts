import { X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Authority, createAuthority, issueCertificate } from '../identity/authority.js';
import { readCsr } from '../identity/csr.js';
import type { Role } from '../identity/roles.js';
import { loadTlsFiles, type TlsMaterial } from '../identity/tls-files.js';
import { createToken } from '../identity/token-create.js';
import type { Environment } from '../local/environment.js';
import { decodeEnrollRequest, ENROLL_PATH, type EnrollRequest, MAX_ENROLL_BYTES } from '../wire/enroll.js';
import { encodeIssuedAnswer, type IssuedAnswer } from '../wire/issued-answer.js';
import { Listener } from '../wire/listener.js';

/** What a relay is asked, and what an honest one would answer. */
export interface Asked {
  readonly request: EnrollRequest;
  readonly spki: Uint8Array;
  readonly honest: IssuedAnswer;
}

/** For tests: a CA with one relay, which answers an enrolment with whatever the test says. */
export class EnrollPlace {
  readonly folder: string;
  readonly ca: string;
  readonly #listeners: Listener[] = [];

  static async make(): Promise<EnrollPlace> {
    const place = new EnrollPlace(await fs.mkdtemp(join(tmpdir(), 'lamplighter-enrolling-')));
    await createAuthority({ directory: place.ca });
    return place;
  }

  private constructor(folder: string) {
    this.folder = folder;
    this.ca = join(folder, 'ca');
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** A server's certificate and key from this CA. */
  async server(name = 'relay-1', role: 'relay' | 'office' = 'relay', ip = '127.0.0.1'): Promise<TlsMaterial> {
    const made = await issueCertificate({
      authorityDirectory: this.ca,
      outDirectory: this.path(`server-${name}`),
      role,
      name,
      ip: [ip],
      overwrite: true,
    });
    return loadTlsFiles({ ca: made.ca, cert: made.certificate, key: made.key });
  }

  /** A token of this CA, kept in its folder. */
  async token(more: { role?: Role; name?: string; uses?: number } = {}): Promise<string> {
    const { role = 'machine', uses = 1 } = more;
    const isServer = role === 'relay' || role === 'office';
    const { text } = await createToken(this.ca, (await Authority.open(this.ca)).keyHash, {
      role,
      ...(more.name !== undefined && { name: more.name }),
      dns: [],
      ip: isServer ? ['127.0.0.1'] : [],
      ttlMs: 3_600_000,
      uses,
      isRevoked: () => false,
      nowMs: Date.now(),
    });
    return text;
  }

  /** A certificate for a key, as the CA would issue it to anybody. */
  async issue(spki: Uint8Array, role: Role, name: string): Promise<string> {
    const authority = await Authority.open(this.ca);
    return (await authority.issue({ spki, role, name, lifeMs: 3_600_000, how: 'enroll' })).pem;
  }

  /**
   * A relay that shows its certificate and the CA's, and answers what `answer` makes of an honest answer. It checks no token: that is
   * the service's, and tested there.
   * @returns its port, and how often it was asked
   */
  async relay(
    answer: (asked: Asked) => IssuedAnswer | Uint8Array | Promise<IssuedAnswer | Uint8Array>,
    tls?: TlsMaterial,
  ): Promise<{ port: number; asked: () => number }> {
    const material = tls ?? (await this.server());
    const cert = Buffer.concat([material.cert, Buffer.from('\n'), material.ca]);
    const listener = new Listener({ cert, key: material.key }, { access: 'server' });
    this.#listeners.push(listener);
    let asked = 0;
    listener.route({
      method: 'POST',
      path: ENROLL_PATH,
      roles: 'anyone',
      maxBodyBytes: MAX_ENROLL_BYTES,
      handle: async (exchange) => {
        asked += 1;
        const request = decodeEnrollRequest(exchange.body);
        const { spki } = await readCsr(request.csr);
        const honest: IssuedAnswer = {
          certificate: await this.issue(spki, 'machine', 'web-1'),
          trust: (await Authority.open(this.ca)).trust(),
          name: 'web-1',
          role: 'machine',
          beaconPort: 9_443,
        };
        const made = await answer({ request, spki, honest });
        exchange.reply(200, {}, made instanceof Uint8Array ? made : encodeIssuedAnswer(made));
      },
    });
    const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
    return { port, asked: () => asked };
  }

  async certificate(): Promise<X509Certificate> {
    return new X509Certificate(await fs.readFile(join(this.ca, 'ca.pem')));
  }

  /** Stops every relay. */
  async rest(): Promise<void> {
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.stop(0)));
  }

  async remove(): Promise<void> {
    await this.rest();
    await fs.rm(this.folder, { recursive: true });
  }
}

/** Thrown by whatever would change something after the power failed. */
export class PowerCut extends Error {}

/**
 * For tests: the real file system until the n-th call that changes something; from there on none does.
 * @param calls - how many go well
 * @returns it, and whether the power has failed
 */
export function failingFs(calls: number): { fs: Environment['fs']; isOff: () => boolean } {
  let left = calls;
  const spend = (): void => {
    left -= 1;
    if (left < 0) throw new PowerCut('the power failed');
  };
  const CHANGING: readonly (string | symbol)[] = ['rename', 'rm', 'mkdir', 'link', 'chmod', 'chown'];
  const IN_FILES: readonly (string | symbol)[] = ['writeFile', 'write', 'sync', 'chmod', 'chown', 'truncate'];
  const guarded = <T extends object>(target: T, changing: readonly (string | symbol)[]): T =>
    new Proxy(target, {
      get: (object, name) => {
        const member: unknown = Reflect.get(object, name);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          if (changing.includes(name)) spend();
          const [, flags] = args;
          if (name === 'open' && flags === 'wx') spend();
          const result: unknown = await Reflect.apply(member, object, args);
          const isFile = name === 'open' && typeof result === 'object' && result !== null;
          return isFile ? guarded(result, IN_FILES) : result;
        };
      },
    });
  return { fs: guarded(fs, CHANGING), isOff: () => left < 0 };
}
