import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

/** File types of st_mode. */
const FOLDER = 0o040_000;
const REGULAR = 0o100_000;
const LINK = 0o120_000;

/** What init.sh uses of busybox. */
const APPLETS = 'cp hostname ifconfig ln mkdir modprobe mount poweroff sh switch_root'.split(' ');
const FOLDERS = ['dev', 'host', 'machine', 'memory', 'proc', 'root', 'run', 'sys', 'tmp'];

/**
 * Makes the initramfs of a guest: busybox, the modules, init.sh and agent.sh, as an uncompressed cpio archive: an emulated
 * processor takes longer to decompress it than QEMU to load it.
 *
 * @param folder - what scripts/guest-kernel.sh made
 * @param copied - absolute paths of files and folders of the host that the guest shall have
 * @returns some 9 MB, and what was copied
 */
export function initramfs(folder: string, copied: readonly string[] = []): Buffer {
  const here = (name: string): Buffer => readFileSync(new URL(name, import.meta.url));
  const archive = new Archive();
  for (const name of FOLDERS) archive.add(name, FOLDER | 0o755);
  archive.add('init', REGULAR | 0o755, here('init.sh'));
  archive.add('agent.sh', REGULAR | 0o644, here('agent.sh'));
  archive.copy(path.join(folder, 'busybox'), 'bin/busybox');
  for (const applet of APPLETS) archive.add(`bin/${applet}`, LINK | 0o777, Buffer.from('busybox'));
  archive.copy(path.join(folder, 'lib'), 'lib');
  for (const file of copied) archive.copy(file, file.slice(1));
  return archive.end();
}

/** A cpio archive in the "newc" format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. */
class Archive {
  readonly #parts: Buffer[] = [];
  readonly #names = new Set<string>(['.']);

  /** Copies a file, or a folder with all in it, and what links point to. */
  copy(from: string, name: string): void {
    if (this.#names.has(name)) return;
    const status = statSync(from);
    const permissions = status.mode & 0o777;
    if (!status.isDirectory()) {
      this.add(name, REGULAR | permissions, readFileSync(from));
      return;
    }
    this.add(name, FOLDER | permissions);
    for (const entry of readdirSync(from)) this.copy(path.join(from, entry), path.join(name, entry));
  }

  /** @param name - without a slash in front; the folders it is in are made */
  add(name: string, mode: number, content: Buffer = Buffer.alloc(0)): void {
    const parent = path.dirname(name);
    if (!this.#names.has(parent)) this.add(parent, FOLDER | 0o755);
    this.#names.add(name);
    this.#write(name, mode, content);
  }

  end(): Buffer {
    this.#write('TRAILER!!!', 0, Buffer.alloc(0));
    return Buffer.concat(this.#parts);
  }

  #write(name: string, mode: number, content: Buffer): void {
    const bytes = Buffer.from(`${name}\0`, 'utf8');
    const [inode, links] = [this.#names.size, 1];
    const [uid, gid, time, device, check] = [0, 0, 0, 0, 0];
    const numbers = [inode, mode, uid, gid, links, time, content.length];
    numbers.push(device, device, device, device, bytes.length, check);
    const header = numbers.map((number) => number.toString(16).padStart(8, '0')).join('');
    this.#parts.push(padded(Buffer.concat([Buffer.from(`070701${header}`, 'latin1'), bytes])));
    this.#parts.push(padded(content));
  }
}

function padded(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
