import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Arguments of `openssl genpkey`. */
const KEYS = {
  'P-256': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'P-384': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  RSA: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  Ed25519: ['-algorithm', 'ED25519'],
} as const;

export type KeyKind = keyof typeof KEYS;

/** What is to stand in a certificate. */
export interface OpensslCertificate {
  /** Of the files, and the common name. */
  readonly name: string;
  /** The subjectAltName, as openssl.cnf has it. */
  readonly names: string;
  readonly usage?: string;
  readonly keys?: KeyKind;
  /** `YYYYMMDDHHMMSSZ`; 30 days from now unless told. */
  readonly dates?: readonly [from: string, to: string];
  /** Leave the intermediate out of the file. */
  readonly isAlone?: boolean;
  /** Key and certificate as one file, NAME.pem. */
  readonly isOneFile?: boolean;
}

/** For tests: a CA in a folder that openssl alone has made, a root with an intermediate below it, as docs/OTHER-CA.md has it. */
export class OpensslAuthority {
  readonly #folder: string;
  readonly #keys: KeyKind;

  /** @param folder - made; holds `ca.pem`, the root, and then a NAME.pem and NAME.key for everything issued */
  constructor(folder: string, keys: KeyKind = 'P-256') {
    this.#folder = folder;
    this.#keys = keys;
    mkdirSync(folder, { mode: 0o700 });
    this.#newKey('root', keys);
    this.#openssl(
      ['req', '-x509', '-new', '-key', 'root.key', '-subj', '/CN=Example Root', '-days', '3650'],
      ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
      ['-config', this.#file('empty.cnf', '[req]\ndistinguished_name = dn\n[dn]\n'), '-out', 'ca.pem'],
    );
    this.newIntermediate();
  }

  /** Makes an intermediate, from which everything is issued from now on. */
  newIntermediate(): void {
    this.#newKey('intermediate', this.#keys);
    this.#request('intermediate', 'Example Intermediate');
    const extensions = [
      'basicConstraints = critical, CA:TRUE, pathlen:0',
      'keyUsage = critical, keyCertSign, cRLSign',
      'subjectKeyIdentifier = hash',
    ];
    this.#openssl(
      ['x509', '-req', '-in', 'intermediate.csr', '-CA', 'ca.pem', '-CAkey', 'root.key', '-CAcreateserial'],
      ['-days', '1825', '-extfile', this.#file('intermediate.ext', extensions.join('\n'))],
      ['-out', 'intermediate.pem'],
    );
  }

  /** Makes a key and a certificate for it. */
  issue({ name, names, usage = 'serverAuth, clientAuth', ...options }: OpensslCertificate): void {
    this.#newKey(name, options.keys ?? this.#keys);
    this.#request(name, name);
    const extensions = [
      'basicConstraints = critical, CA:FALSE',
      'keyUsage = critical, digitalSignature',
      `extendedKeyUsage = ${usage}`,
      ...(names === '' ? [] : [`subjectAltName = ${names}`]),
    ];
    const file = this.#file(`${name}.ext`, extensions.join('\n'));
    if (options.dates === undefined) {
      this.#openssl(
        ['x509', '-req', '-in', `${name}.csr`, '-CA', 'intermediate.pem', '-CAkey', 'intermediate.key'],
        ['-CAcreateserial', '-days', '30', '-extfile', file, '-out', `${name}.crt`],
      );
    } else {
      this.#issueWithin(name, file, options.dates);
    }
    const parts = [
      ...(options.isOneFile === true ? [`${name}.key`] : []),
      `${name}.crt`,
      ...(options.isAlone === true ? [] : ['intermediate.pem']),
    ];
    const pem = parts.map((part) => readFileSync(path.join(this.#folder, part), 'utf8')).join('');
    chmodSync(this.#file(`${name}.pem`, pem), 0o600);
  }

  /** `openssl x509` of OpenSSL 3.0 knows lengths only; `openssl ca` knows dates. */
  #issueWithin(name: string, extensions: string, [from, to]: readonly [string, string]): void {
    const config = [
      '[ca]',
      'default_ca = this',
      '[this]',
      `database = ${this.#file('index.txt', '')}`,
      'rand_serial = yes',
      'default_md = default',
      'policy = any',
      `new_certs_dir = ${this.#folder}`,
      '[any]',
      'commonName = supplied',
    ];
    this.#openssl(
      ['ca', '-batch', '-notext', '-config', this.#file('ca.cnf', config.join('\n'))],
      ['-cert', 'intermediate.pem', '-keyfile', 'intermediate.key', '-in', `${name}.csr`],
      ['-startdate', from, '-enddate', to, '-extfile', extensions, '-out', `${name}.crt`],
    );
  }

  #newKey(name: string, kind: KeyKind): void {
    this.#openssl(['genpkey', ...KEYS[kind], '-out', `${name}.key`]);
    chmodSync(path.join(this.#folder, `${name}.key`), 0o600);
  }

  #request(name: string, commonName: string): void {
    const config = path.join(this.#folder, 'empty.cnf');
    this.#openssl(
      ['req', '-new', '-key', `${name}.key`, '-subj', `/CN=${commonName}`, '-config', config],
      ['-out', `${name}.csr`],
    );
  }

  #openssl(...args: readonly (readonly string[])[]): void {
    execFileSync('openssl', args.flat(), { cwd: this.#folder, stdio: 'pipe' });
  }

  #file(name: string, content: string): string {
    const file = path.join(this.#folder, name);
    writeFileSync(file, content);
    return file;
  }
}
