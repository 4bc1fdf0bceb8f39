import { type Command, Option } from 'commander';
import { ROLES, type Role } from '../identity/roles.js';
import { integer, repeated } from './option-parsers.js';
import { answer } from './terminal.js';

interface IssueOptions {
  ca?: string;
  role: Role;
  name: string;
  dns?: string[];
  ip?: string[];
  days: number;
  replace?: true;
  out: string;
}

/** `lamplighter ca init DIR` and `lamplighter ca issue …` */
export function addCaCommand(program: Command): void {
  const ca = program.command('ca').description('keep a private certificate authority');

  ca.command('init')
    .description('make a new CA: its certificate and its key, which never leaves this folder')
    .argument('<dir>', 'a new or empty folder')
    .action(async (directory: string) => {
      const { createAuthority } = await import('../identity/authority.js');
      await createAuthority({ directory });
      answer(`${directory}/ca.pem`);
    });

  ca.command('issue')
    .description('make a key and a certificate for one node, machine or person')
    .option('--ca <dir>', 'the CA’s folder, as made by `ca init` (default: the --out folder)')
    .addOption(new Option('--role <role>', 'what it may do').choices([...ROLES]).makeOptionMandatory())
    .requiredOption('--name <name>', 'its name: a-z, 0-9, dot, hyphen')
    .option('--dns <name>', 'host name others reach it by (office, relay); repeatable', repeated)
    .option('--ip <address>', 'address others reach it by (office, relay); repeatable', repeated)
    .option('--days <n>', 'how long it is valid', integer(1, 3650), 30)
    .option('--replace', 'renew: replace the files of that name in --out')
    .requiredOption('--out <dir>', 'where NAME.pem, NAME.key and ca.pem go')
    .action(async ({ ca: authority, role, name, dns = [], ip = [], days, replace, out }: IssueOptions) => {
      const { issueCertificate } = await import('../identity/authority.js');
      await issueCertificate({
        authorityDirectory: authority ?? out,
        role,
        name,
        dns,
        ip,
        days,
        outDirectory: out,
        overwrite: replace === true,
      });
      answer(`${out}/${name}.pem`);
    });
}
