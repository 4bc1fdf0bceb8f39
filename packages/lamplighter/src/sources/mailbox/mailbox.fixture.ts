import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Environment, systemEnvironment } from '../../local/environment.js';
import { mailboxName } from '../../wire/mailbox.js';
import { FileDoor } from '../process/file-door.js';
import { KnownFiles } from './known-files.js';
import { type LookLimits, type LookReport, lookThrough } from './look.js';
import { OpenFolder } from './open-folder.js';

/** A real folder that serves as a mailbox, inside another one that takes what shall not be in it. */
export class Mailbox {
  readonly outside = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-mailbox-'));
  readonly folder = path.join(this.outside, 'mailbox');

  constructor() {
    chmodSync(this.outside, 0o755);
    mkdirSync(this.folder);
  }

  at(name: string): string {
    return path.join(this.folder, name);
  }

  /** Drops a file as a good writer does: whole, by renaming. @returns its name */
  drop(content: string | Uint8Array, name = mailboxName(randomBytes(16))): string {
    const part = path.join(this.outside, `.${name}.part`);
    writeFileSync(part, content);
    renameSync(part, this.at(name));
    return name;
  }

  remove(): void {
    chmodSync(this.folder, 0o755);
    rmSync(this.outside, { recursive: true, force: true });
  }
}

/** What one look heard and found. */
export interface Looked {
  readonly report: LookReport;
  readonly heard: readonly string[];
}

/** One reader of a mailbox: looks when told, remembers between looks. */
export function reader(
  mailbox: Mailbox,
  options: Partial<LookLimits> = {},
): (changed?: Partial<Environment['fs']>) => Promise<Looked> {
  const limits = { maxEntries: 1024, maxFiles: 64, maxFileBytes: 4096, ...options };
  const known = new KnownFiles(limits.maxEntries);
  const system = systemEnvironment();
  return async (changed = {}) => {
    const environment = { ...system, fs: { ...system.fs, ...changed } };
    const heard: string[] = [];
    const folder = await OpenFolder.open(mailbox.folder, environment.fs);
    try {
      const report = await lookThrough(folder, {
        limits,
        known,
        door: new FileDoor(),
        signal: new AbortController().signal,
        environment,
        hear: (bytes) => heard.push(Buffer.from(bytes).toString('latin1')),
      });
      return { report, heard };
    } finally {
      await folder.close();
    }
  };
}
