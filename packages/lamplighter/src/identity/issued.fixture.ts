import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { createAuthority, issueCertificate } from './authority.js';
import { type Role, SERVER_ROLES } from './roles.js';
import { loadTlsFiles, type TlsMaterial, type TlsPaths } from './tls-files.js';

/** A folder of its own, removed when the tests of a file are over. */
export async function ground(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lamplighter-issued-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A real CA with its folder, and what it has issued. */
export class IssuingFolder {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @param name - a folder below `place`, and what the CA calls itself */
  static async make(place: string, name = 'ca'): Promise<IssuingFolder> {
    await createAuthority({ directory: join(place, name), name });
    return new IssuingFolder(join(place, name));
  }

  /** Writes a certificate for loopback into a folder of its own. */
  async files(role: Role, name: string, lifeMs?: number): Promise<TlsPaths> {
    const outDirectory = `${this.folder}-${role}-${name}`;
    const { certificate: cert, ca } = await issueCertificate({
      authorityDirectory: this.folder,
      role,
      name,
      ...(SERVER_ROLES.includes(role) && { dns: ['localhost'], ip: ['127.0.0.1', '::1'] }),
      ...(lifeMs !== undefined && { lifeMs }),
      outDirectory,
      overwrite: true,
    });
    return { ca, cert, key: join(outDirectory, `${name}.key`) };
  }

  /** The same, read. */
  async material(role: Role, name: string, lifeMs?: number): Promise<TlsMaterial> {
    return loadTlsFiles(await this.files(role, name, lifeMs));
  }
}
