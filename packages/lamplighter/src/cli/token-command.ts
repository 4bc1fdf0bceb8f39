import { type Command, Option } from 'commander';
import { ROLES, type Role } from '../identity/roles.js';
import type { TokenSummary } from '../identity/token-list.js';
import { integer, repeated } from './option-parsers.js';
import { during } from './progress.js';
import { answer, explain, say } from './terminal.js';

interface CreateOptions {
  ca: string;
  role: Role;
  name?: string;
  prefix?: string;
  ttl: string;
  uses: number;
  dns?: string[];
  ip?: string[];
  life?: string;
}

/** `lamplighter token create`, `token list` and `token revoke` */
export function addTokenCommand(program: Command): void {
  const token = program
    .command('token')
    .description('tokens by which machines join: made at the CA, used by `lamplighter enroll`');

  token
    .command('create')
    .description('make a token; it is printed once and kept nowhere')
    .requiredOption('--ca <dir>', 'the CA’s folder')
    .addOption(new Option('--role <role>', 'what its holder becomes').choices([...ROLES]).default('machine'))
    .option('--name <name>', 'the one name it gives')
    .option('--prefix <prefix>', 'of the names it makes, PREFIX-0123456789 (default: the role)')
    .option('--ttl <time>', 'how long it can be used, up to 30d', '1h')
    .option('--uses <n>', 'how many machines it serves', integer(1, 1_000), 1)
    .option('--dns <name>', 'host name others reach it by (office, relay); repeatable', repeated)
    .option('--ip <address>', 'address others reach it by (office, relay); repeatable', repeated)
    .option('--life <time>', 'how long its certificate is valid (default: as the node that enrols says)')
    .action(create);

  token
    .command('list')
    .description('say which tokens there are and who used them; nothing secret')
    .requiredOption('--ca <dir>', 'the CA’s folder')
    .option('--json', 'print an array')
    .action(async ({ ca, json }: { ca: string; json?: true }) => {
      const { listTokens } = await import('../identity/token-list.js');
      const { tokens, damaged } = await during('reading the tokens', listTokens(ca, Date.now()));
      if (json) answer(JSON.stringify(tokens.map(jsonOf)));
      else for (const one of tokens) answer(lineOf(one));
      for (const error of damaged) process.exitCode = explain(error);
    });

  token
    .command('revoke')
    .description('refuse a token from now on; certificates it gave stay good')
    .argument('<id>', 'as `token list` shows it')
    .requiredOption('--ca <dir>', 'the CA’s folder')
    .action(async (id: string, { ca }: { ca: string }) => {
      const { TokenFolder } = await import('../identity/token-folder.js');
      await new TokenFolder(ca).revoke(id);
      answer(`${id}: revoked`);
    });
}

async function create({ ca, ...asked }: CreateOptions): Promise<void> {
  const [{ createToken }, { Authority }, { readPolicy }, { parseLife }] = await Promise.all([
    import('../identity/token-create.js'),
    import('../identity/authority.js'),
    import('../identity/policy-folder.js'),
    import('../identity/life.js'),
  ]);
  const { ttl, life, uses, role } = asked;
  const { keyHash } = await Authority.open(ca);
  const { revokedNames } = await readPolicy(ca);
  const { text, record } = await createToken(ca, keyHash, {
    ...asked,
    dns: asked.dns ?? [],
    ip: asked.ip ?? [],
    ttlMs: parseLife(ttl),
    ...(life !== undefined && { lifeMs: parseLife(life) }),
    isRevoked: (name) => revokedNames.has(name),
    nowMs: Date.now(),
  });
  const whom = record.name ?? `${record.prefix ?? role}-…`;
  const until = new Date(record.expiresAtMs).toISOString();
  say(`token ${record.id}: for ${role} ${whom}, ${uses === 1 ? 'once' : `${uses} times`}, until ${until}`);
  if (uses > 1) {
    say('WARNING: whoever holds this token can attack the enrolment of every other machine that uses it');
    say('hint: make one token a machine where you can');
  }
  say('hint: put it into a file of mode 0600, then `lamplighter enroll --relay URL --token-file FILE`');
  answer(text);
}

function jsonOf({ createdAtMs, expiresAtMs, taken, ...rest }: TokenSummary): object {
  return {
    ...rest,
    createdAt: new Date(createdAtMs).toISOString(),
    expiresAt: new Date(expiresAtMs).toISOString(),
    taken: taken.map(({ name, serial, atMs }) => ({ name, serial, at: new Date(atMs).toISOString() })),
  };
}

function lineOf({ id, role, name, prefix, state, uses, taken, expiresAtMs }: TokenSummary): string {
  const whom = name ?? `${prefix ?? role}-…`;
  const who = taken.length === 0 ? '' : `: ${taken.map((use) => use.name).join(', ')}`;
  const until = new Date(expiresAtMs).toISOString();
  return `${id}  ${state.padEnd(7)}  ${role} ${whom}  until ${until}  ${taken.length} of ${uses} used${who}`;
}
