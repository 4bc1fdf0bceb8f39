import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Role } from '../packages/lamplighter/dist/identity/roles.js';
import { loadTlsFiles } from '../packages/lamplighter/dist/identity/tls-files.js';
import type { Upstream } from '../packages/lamplighter/dist/wire/client.js';
import { run } from './processes.fixture.js';

/** Who has a certificate in every place. */
const HOLDERS: readonly { role: Role; name: string }[] = [
  { role: 'office', name: 'office' },
  { role: 'relay', name: 'relay' },
  { role: 'service', name: 'service' },
  { role: 'machine', name: 'machine' },
];

export interface NodeFile {
  readonly name: string;
  /** Whose certificate it uses; the one of its name unless told. */
  readonly as?: string;
  /** The port of the feed and beacon outlets. */
  readonly listen?: number;
  readonly admin: number;
  readonly sources: readonly object[];
  readonly outlets?: readonly object[];
  readonly seedDeadlineMs?: number;
  readonly quotas?: object;
}

/** For tests: a temporary folder with a CA and certificates that the command line made, and the configurations of one test. */
export class Place {
  readonly folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-e2e-'));

  /** Makes the folder, the CA and the four certificates. */
  static async make(): Promise<Place> {
    const place = new Place();
    await succeed(['ca', 'init', place.path('ca')]);
    for (const { role, name } of HOLDERS) await place.issue(role, name, 'certificates');
    return place;
  }

  /** Issues one more certificate; office and relay get the address 127.0.0.1. */
  async issue(role: Role, name: string, folder: string, ca = 'ca'): Promise<void> {
    const address = role === 'office' || role === 'relay' ? ['--ip', '127.0.0.1'] : [];
    const who = ['--role', role, '--name', name, ...address];
    await succeed(['ca', 'issue', '--ca', this.path(ca), ...who, '--out', this.path(folder)]);
  }

  path(...names: string[]): string {
    return path.join(this.folder, ...names);
  }

  /** Where the certificate of a holder is, as a configuration names it. */
  tls(name: string, folder = 'certificates'): { ca: string; cert: string; key: string } {
    const at = (file: string): string => this.path(folder, file);
    return { ca: at('ca.pem'), cert: at(`${name}.pem`), key: at(`${name}.key`) };
  }

  /** Writes a configuration as YAML: JSON is. @returns its path */
  write(file: string, content: object | string): string {
    writeFileSync(this.path(file), typeof content === 'string' ? content : JSON.stringify(content, null, 2));
    return this.path(file);
  }

  /** Writes the configuration of a node on 127.0.0.1. @returns its path */
  writeNode({ name, as = name, listen, admin, ...rest }: NodeFile): string {
    return this.write(`${name}.yaml`, {
      name,
      state: `state/${name}`,
      tls: this.tls(as),
      ...(listen !== undefined && { listen: { host: '127.0.0.1', port: listen } }),
      admin: { port: admin },
      ...rest,
    });
  }

  /** Writes the configuration of an agent that asks relays on 127.0.0.1. @returns its path */
  writeAgent(ports: readonly number[], rest: object = {}): string {
    const relays = ports.map((port, i) => ({ name: `relay-${i + 1}`, url: `https://127.0.0.1:${port}` }));
    const own = { state: 'state/machine', report: 'state/machine/agent.json' };
    return this.write('agent.yaml', { tls: this.tls('machine'), relays, ...own, ...rest });
  }

  /** A node on 127.0.0.1 as its clients see it. */
  async upstream(as: string, port: number, roles: readonly Role[] = ['office', 'relay']): Promise<Upstream> {
    return { url: new URL(`https://127.0.0.1:${port}`), tls: await loadTlsFiles(this.tls(as)), roles };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function succeed(args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(args);
  if (code !== 0) throw new Error(`lamplighter ${args.join(' ')}: ${stderr}`);
}
