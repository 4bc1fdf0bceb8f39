import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';

const SCRIPT = fileURLToPath(new URL('../../scripts/guest-kernel.sh', import.meta.url));

/** What a guest boots, as scripts/guest-kernel.sh left it in the user's cache: `kernel`, `busybox`, `lib/modules`. */
export function guestFolder(): string | undefined {
  const { status, stdout } = spawnSync('sh', [SCRIPT, '--cached'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/**
 * A `describe` for tests in a guest, as `needs` is for tests of programs: skipped, with the reason in the name, where QEMU,
 * a program or the guests' kernel is not there; in CI that is an error.
 *
 * @param programs - programs the guest uses: it sees the host's
 * @throws Error in CI when something is missing: the test file fails
 */
export function needsGuest(...programs: readonly string[]): (name: string, body: () => void) => void {
  const withPrograms = needs('qemu-system-x86_64', 'setpriv', ...programs);
  if (guestFolder() !== undefined) return withPrograms;
  if ((process.env['CI'] ?? '') !== '') throw new Error('CI must have run scripts/guest-kernel.sh');
  return (name, body) => describe.skip(`${name} (needs scripts/guest-kernel.sh)`, body);
}
