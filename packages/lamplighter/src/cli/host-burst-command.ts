import type { Command } from 'commander';
import { during } from './progress.js';
import { answer } from './terminal.js';

/** Where the node of a VM host listens unless told. */
export const DEFAULT_GUEST_NEWS_SOCKET = '/run/lamplighter-host/news/resumed.sock';

/** Adds `lamplighter host burst GUEST`. */
export function addHostBurstCommand(host: Command): void {
  host
    .command('burst')
    .argument('<guest>', 'its name, as its socket for the trickle is named')
    .description(
      'tell this host’s node that a guest was restored or cloned: it gets fresh entropy, and resumes',
    )
    .option('--socket <path>', 'where the node listens', DEFAULT_GUEST_NEWS_SOCKET)
    .addHelpText('after', '\nexit codes: 0 the guest was given a burst, 1 it was not')
    .action(async (guest: string, { socket }: { socket: string }) => {
      const [{ systemEnvironment }, { tellResumed }, { LamplighterError }] = await Promise.all([
        import('../local/environment.js'),
        import('../wire/guest-resumed.js'),
        import('@lamplighter/core'),
      ]);
      const telling = tellResumed(systemEnvironment().connect({ path: socket }), guest);
      const lines = await during('waiting for the node of this host', telling);
      if (lines === 0) {
        throw new LamplighterError('ERR_SOURCE_ABSENT', `this host has no line to a guest ${guest}`, {
          hint: 'its trickle needs a virtio-serial port: `lamplighter host snippets` prints one',
        });
      }
      answer(`${guest}: a burst on ${lines} ${lines === 1 ? 'line' : 'lines'}`);
    });
}
