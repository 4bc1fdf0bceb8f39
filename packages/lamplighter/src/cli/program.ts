import { Command } from 'commander';
import { SOFTWARE } from '../wire/software.js';
import { addAgentCommand } from './agent-command.js';
import { addBeaconCommand } from './beacon-command.js';
import { addCaCommand } from './ca-command.js';
import { addCameraCommand } from './camera-command.js';
import { addCompletionCommand } from './completion-command.js';
import { addConfigCommand } from './config-command.js';
import { addDashboardCommand } from './dashboard-command.js';
import { addDoctorCommand } from './doctor-command.js';
import { addEnrollCommand } from './enroll-command.js';
import { addHostCommand } from './host-command.js';
import { addNodeCommand } from './node-command.js';
import { addSeedCommand } from './seed-command.js';
import { addSourcesCommand } from './sources-command.js';
import { addStatusCommand } from './status-command.js';
import { addTokenCommand } from './token-command.js';
import { addUpCommand } from './up-command.js';
import { addWallCommand } from './wall-command.js';

/** Every command of `lamplighter`: what its help, its shell completion and its manual pages are made from. */
export function lamplighterProgram(): Command {
  const program = new Command('lamplighter')
    .description('randomness that stays unpredictable when a machine’s own source is not')
    .version(SOFTWARE)
    .showHelpAfterError('hint: add --help for what there is')
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'lamplighter: ').replace(/\.\n$/, '\n')),
    })
    .exitOverride();
  for (const add of COMMANDS) add(program);
  return program;
}

const COMMANDS: readonly ((program: Command) => void)[] = [
  addUpCommand,
  addNodeCommand,
  addDashboardCommand,
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
  addStatusCommand,
  addDoctorCommand,
  addWallCommand,
  addCompletionCommand,
];
