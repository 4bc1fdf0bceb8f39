import { join } from 'node:path';
import type { Environment } from '../local/environment.js';
import { isThere } from '../local/is-there.js';

/** Something that is not Lamplighter's and would be alike in every copy of an image. */
export interface Elsewhere {
  readonly path: string;
  /** What it is and what to do about it. */
  readonly why: string;
}

const FILES: readonly Elsewhere[] = [
  { path: '/var/lib/systemd/random-seed', why: 'the kernel’s seed file, by systemd: rm it' },
  { path: '/var/lib/urandom/random-seed', why: 'the kernel’s seed file, by sysvinit: rm it' },
  { path: '/var/lib/misc/random-seed', why: 'the kernel’s seed file, by OpenRC: rm it' },
  { path: '/root/.rnd', why: 'a seed file of OpenSSL: rm it' },
];
const MACHINE_ID = '/etc/machine-id';
const HOST_KEY = /^ssh_host_.+_key$/;

/**
 * Looks for what others keep that parts machines. It is told of and never touched: it belongs to other packages.
 * @param root - put in front of every path; for tests
 */
export async function elsewhere({ fs }: Pick<Environment, 'fs'>, root = ''): Promise<readonly Elsewhere[]> {
  const found: Elsewhere[] = [];
  for (const { path, why } of FILES) {
    if (await isThere({ fs }, `${root}${path}`)) found.push({ path, why });
  }
  const id = await fs.readFile(`${root}${MACHINE_ID}`, 'latin1').catch(() => '');
  if (/^[0-9a-f]{32}\s*$/.test(id)) {
    found.push({
      path: MACHINE_ID,
      why: 'by it a copy is told from its original: truncate it, and the first boot makes another',
    });
  }
  const ssh = '/etc/ssh';
  for (const name of await fs.readdir(`${root}${ssh}`).catch(() => [])) {
    if (HOST_KEY.test(name))
      found.push({ path: join(ssh, name), why: 'a host key: rm it, see deploy/README.md' });
  }
  return found;
}
