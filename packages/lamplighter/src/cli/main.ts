import { Command, CommanderError } from 'commander';
import { SOFTWARE } from '../wire/software.js';
import { addAgentCommand } from './agent-command.js';
import { addBeaconCommand } from './beacon-command.js';
import { addCaCommand } from './ca-command.js';
import { addCameraCommand } from './camera-command.js';
import { addConfigCommand } from './config-command.js';
import { addDoctorCommand } from './doctor-command.js';
import { addEnrollCommand } from './enroll-command.js';
import { addHostCommand } from './host-command.js';
import { addNodeCommand } from './node-command.js';
import { addSeedCommand } from './seed-command.js';
import { addSourcesCommand } from './sources-command.js';
import { EXIT_USAGE, explain } from './terminal.js';
import { addTokenCommand } from './token-command.js';
import { addUpCommand } from './up-command.js';
import { addWallCommand } from './wall-command.js';

// Whoever reads us may close the pipe early, as `head` does: that is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
// A node whose log nobody reads any more goes on.
process.stderr.on('error', () => undefined);

const program = new Command('lamplighter')
  .description('randomness that stays unpredictable when a machine’s own source is not')
  .version(SOFTWARE)
  .showHelpAfterError('hint: add --help for what there is')
  .configureOutput({
    outputError: (text, write) => write(text.replace(/^error: /, 'lamplighter: ').replace(/\.\n$/, '\n')),
  })
  .exitOverride();

for (const add of [
  addUpCommand,
  addNodeCommand,
  addHostCommand,
  addAgentCommand,
  addBeaconCommand,
  addEnrollCommand,
  addCaCommand,
  addTokenCommand,
  addCameraCommand,
  addConfigCommand,
  addSourcesCommand,
  addSeedCommand,
  addDoctorCommand,
  addWallCommand,
]) {
  add(program);
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    process.exitCode = explain(error);
  }
}
