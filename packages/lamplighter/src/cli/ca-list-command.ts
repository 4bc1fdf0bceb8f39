import type { Command } from 'commander';
import type { IssuedEntry } from '../identity/issued-entry.js';
import { during } from './progress.js';
import { answer, say } from './terminal.js';

/** `lamplighter ca list DIR` */
export function addListCommand(ca: Command): void {
  ca.command('list')
    .description('list the certificates that this CA has issued')
    .argument('<dir>', 'the CA’s folder')
    .option('--all', 'every certificate, not only the newest of each holder')
    .option('--json', 'one JSON object a line')
    .action(async (folder: string, { all, json }: { all?: true; json?: true }) => {
      const { isRegisterThere, newestByHolder, readRegister } =
        await import('../identity/issued-register.js');
      let damaged = 0;
      const onDamaged = (): void => void (damaged += 1);
      const entries =
        all === true
          ? readRegister(folder, onDamaged)
          : (await during('reading the register', newestByHolder(folder, onDamaged))).values();
      for await (const entry of entries) answer(json === true ? jsonLine(entry) : textLine(entry));
      if (!(await isRegisterThere(folder)))
        say(`there is no register in ${folder}: nothing is known to have been issued`);
      if (damaged > 0) say(`lines of the register that cannot be read: ${damaged}`);
    });
}

function jsonLine({ atMs, notAfterMs, ...entry }: IssuedEntry): string {
  return JSON.stringify({ at: isoTime(atMs), notAfter: isoTime(notAfterMs), ...entry });
}

function textLine({ atMs, role, name, serial, notAfterMs, root, how }: IssuedEntry): string {
  const end = notAfterMs > Date.now() ? 'expires' : 'EXPIRED';
  const times = `issued ${isoTime(atMs)} (${how})  ${end} ${isoTime(notAfterMs)}`;
  return `${role}/${name}  ${serial}  ${times}  root ${root.slice(0, 16)}`;
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d+Z$/, 'Z');
}
