import { type Command, Option } from 'commander';
import { parseLife } from '../identity/life.js';
import { ROLES, type Role } from '../identity/roles.js';
import { addListCommand } from './ca-list-command.js';
import { addPolicyCommands } from './ca-policy-command.js';
import { addRotateCommand } from './ca-rotate-command.js';
import { repeated } from './option-parsers.js';
import { answer } from './terminal.js';

interface IssueOptions {
  ca?: string;
  role: Role;
  name: string;
  dns?: string[];
  ip?: string[];
  life: number;
  csr?: string;
  replace?: true;
  out: string;
}

/** `lamplighter ca init DIR`, `lamplighter ca issue …` and what else a CA's folder is kept with. */
export function addCaCommand(program: Command): void {
  const ca = program.command('ca').description('keep a private certificate authority');
  addInitCommand(ca);
  addIssueCommand(ca);
  addRequestCommand(ca);
  addListCommand(ca);
  addRotateCommand(ca);
  addPolicyCommands(ca);
}

function addInitCommand(ca: Command): void {
  ca.command('init')
    .description('make a new CA: its certificate and its key, which never leaves this folder')
    .argument('<dir>', 'a new or empty folder')
    .option('--name <name>', 'what it calls itself', 'Lamplighter CA')
    .addOption(lifeOption('how long its root is valid', '3650d'))
    .action(async (directory: string, { name, life }: { name: string; life: number }) => {
      const { createAuthority } = await import('../identity/authority.js');
      await createAuthority({ directory, name, lifeMs: life });
      answer(`${directory}/ca.pem`);
    });
}

function addIssueCommand(ca: Command): void {
  ca.command('issue')
    .description('make a key and a certificate for one node, machine or person')
    .option('--ca <dir>', 'the CA’s folder, as made by `ca init` (default: the --out folder)')
    .addOption(new Option('--role <role>', 'what it may do').choices([...ROLES]).makeOptionMandatory())
    .requiredOption('--name <name>', 'its name: a-z, 0-9, dot, hyphen')
    .option('--dns <name>', 'host name others reach it by (office, relay); repeatable', repeated)
    .option('--ip <address>', 'address others reach it by (office, relay); repeatable', repeated)
    .addOption(lifeOption('how long it is valid: 60s, 15m, 1h, 30d', '30d'))
    .option('--csr <file>', 'for the key of this PEM request, made elsewhere: no key is made here')
    .option('--replace', 'renew: replace the files of that name in --out')
    .requiredOption('--out <dir>', 'where NAME.pem, NAME.key and ca.pem go')
    .action(async (options: IssueOptions) => {
      const { ca: authority, role, name, dns = [], ip = [], life, csr, replace, out } = options;
      const { issueCertificate, issueForRequest } = await import('../identity/authority.js');
      const request = {
        authorityDirectory: authority ?? out,
        role,
        name,
        dns,
        ip,
        lifeMs: life,
        outDirectory: out,
        overwrite: replace === true,
      };
      if (csr === undefined) {
        await issueCertificate(request);
      } else {
        const { readCsrFile } = await import('../identity/csr-file.js');
        await issueForRequest(request, await readCsrFile(csr));
      }
      answer(`${out}/${name}.pem`);
    });
}

function addRequestCommand(ca: Command): void {
  ca.command('request')
    .description('make a key here and the request for its certificate, for a CA that is kept offline')
    .requiredOption('--name <name>', 'the name the CA will give: a-z, 0-9, dot, hyphen')
    .requiredOption('--out <dir>', 'where NAME.key and NAME.csr go')
    .action(async ({ name, out }: { name: string; out: string }) => {
      const { writeKeyAndCsr } = await import('../identity/csr-file.js');
      answer(await writeKeyAndCsr(out, name));
    });
}

/** Its default is shown as it is typed, not as the number that is made of it. */
const lifeOption = (description: string, fallback: string): Option =>
  new Option('--life <time>', description).argParser(parseLife).default(parseLife(fallback), fallback);
