import { CommanderError } from 'commander';
import { lamplighterProgram } from './program.js';
import { EXIT_USAGE, explain } from './terminal.js';

// Whoever reads us may close the pipe early, as `head` does: that is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
// A node whose log nobody reads any more goes on.
process.stderr.on('error', () => undefined);

try {
  await lamplighterProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    process.exitCode = explain(error);
  }
}
