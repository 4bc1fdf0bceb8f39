import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { ran, ROOT } from './packed.fixture.js';

/** So that what is built does not depend on when. */
export const EPOCH = '1700000000';
/** What packing needs, and dpkg's own. */
export const DEB_TOOLS = ['dpkg-deb', 'x86_64-linux-gnu-strip', 'npm'];

/**
 * For tests: the package of what is built now, quickly compressed.
 * @param folder - where it goes
 * @param builder - `habits`: added to the environment of who builds it
 * @returns its path
 */
export function builtDeb(
  folder: string,
  {
    architecture = 'amd64',
    habits = {},
    umask = 0o022,
  }: { architecture?: string; habits?: NodeJS.ProcessEnv; umask?: number } = {},
): string {
  mkdirSync(folder, { recursive: true });
  const build = path.join(ROOT, 'packaging/deb/build.mjs');
  const env = { ...process.env, SOURCE_DATE_EPOCH: EPOCH, ...habits };
  const args = [build, '--built', '--compression', 'gzip', '--arch', architecture, folder];
  // A worker may not set its own.
  const { stdout } = ran(
    'sh',
    ['-c', `umask ${umask.toString(8)}; exec "$@"`, 'sh', process.execPath, ...args],
    {
      env,
    },
  );
  return stdout.slice(0, stdout.lastIndexOf(': '));
}
