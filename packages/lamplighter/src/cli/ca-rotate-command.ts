import type { Command } from 'commander';
import { usage } from '../identity/certificate-request.js';
import type { RotationStep } from '../identity/rotation-state.js';
import type { RotationStatus } from '../identity/rotation-status.js';
import { during } from './progress.js';
import { answer, say } from './terminal.js';

interface RotateOptions {
  begin?: true;
  switch?: true;
  finish?: true;
  status?: true;
  force?: true;
  json?: true;
}

/** `lamplighter ca rotate DIR --begin|--switch|--finish|--status` */
export function addRotateCommand(ca: Command): void {
  ca.command('rotate')
    .description('replace the CA’s key in three steps, while every certificate stays good')
    .argument('<dir>', 'the CA’s folder')
    .option('--begin', 'make the next root and put it on the trust list')
    .option('--switch', 'sign with the next root from now on')
    .option('--finish', 'take the old root off the trust list and remove its key')
    .option('--status', 'say how far it is and who has not renewed yet')
    .option('--force', 'go on although some have not renewed yet: they will be cut off')
    .option('--json', 'the status as JSON')
    .action(async (folder: string, options: RotateOptions) => {
      const steps = (['begin', 'switch', 'finish'] as const).filter((step) => options[step] === true);
      if (steps.length + (options.status === true ? 1 : 0) !== 1) {
        throw usage('say exactly one of --begin, --switch, --finish, --status');
      }
      const { rotationStatus } = await import('../identity/rotation-status.js');
      const { rotate } = await import('../identity/rotation.js');
      const { nextStep } = await import('../identity/rotation-state.js');
      const [step] = steps;
      const status = await during(
        'reading the register',
        step === undefined ? rotationStatus(folder) : rotate(folder, step, { force: options.force === true }),
      );
      if (options.json === true) answer(JSON.stringify(status));
      else for (const line of describe(status)) answer(line);
      if (step === 'switch') sayTokens(status);
      sayNext(folder, status, nextStep(status));
    });
}

function describe(status: RotationStatus): string[] {
  const { phase, sequence, waiting, waitingNames, waitingUntil, tokens, damaged } = status;
  const lines = [`trust list ${sequence}: ${PHASES[phase]}`];
  if (status.unfinished !== undefined) lines.push(`interrupted: ${status.unfinished}`);
  if (phase !== 'none') {
    const what =
      phase === 'begun' ? 'were not given the next root yet' : 'have a certificate by the old root';
    const end = waitingUntil === undefined ? '' : `, the last until ${waitingUntil.toISOString()}`;
    lines.push(`holders that ${what}: ${waiting}${end}`);
    lines.push(...waitingNames.map((name) => `  ${name}`));
    if (waiting > waitingNames.length) lines.push(`  and ${waiting - waitingNames.length} more`);
    if (phase === 'begun' && tokens > 0) lines.push(`tokens that a switch makes useless: ${tokens}`);
  }
  if (damaged > 0) lines.push(`lines of the register that cannot be read: ${damaged}`);
  if (!status.hasRegister)
    lines.push('no register: certificates issued before there was one are not counted');
  return lines;
}

const PHASES: Record<RotationStatus['phase'], string> = {
  none: 'one root, no rotation is on',
  begun: 'the next root is on it, the old one signs',
  switched: 'the next root signs, the old one is still on it',
};

function sayTokens({ tokens }: RotationStatus): void {
  if (tokens > 0) say(`tokens that pin the old root and are useless now: ${tokens}; make new ones`);
}

function sayNext(folder: string, { phase, unfinished, waiting }: RotationStatus, next: RotationStep): void {
  const command = `lamplighter ca rotate ${folder} --${next}`;
  if (unfinished !== undefined) {
    say(`the CA works; ${unfinished} was interrupted, do it again now: ${command}`);
    return;
  }
  if (phase === 'none') return;
  const when = waiting > 0 ? 'when nobody waits any more (renewals do that; see --status)' : 'safe now';
  say(`next: ${command}, ${when}`);
}
