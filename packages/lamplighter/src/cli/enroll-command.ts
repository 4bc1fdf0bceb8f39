import { type Command, Option } from 'commander';
import type { EnrollReport } from '../agent/enroll.js';
import { ROLES, type Role } from '../identity/roles.js';
import { httpsUrl, integer } from './option-parsers.js';
import { during } from './progress.js';
import { answer, say, untilStopped } from './terminal.js';

interface EnrollFlags {
  relay: URL;
  tokenFile: string;
  dir: string;
  state: string;
  role: Role;
  peer?: string;
  requireHedge?: true;
  boot: boolean;
  deadline: number;
  json?: true;
}

/** A token is 144 characters; whatever is longer is something else. */
const MAX_TOKEN_FILE_BYTES = 4_096;

/** `lamplighter enroll --relay URL --token-file F` */
export function addEnrollCommand(program: Command): void {
  program
    .command('enroll')
    .description('join this machine: key, certificate, seed, configuration and a first boot, by one token')
    .requiredOption('--relay <url>', 'the relay’s port for enrolment, https://host:port', httpsUrl)
    .requiredOption(
      '--token-file <file>',
      'holds what `lamplighter token create` printed; - is standard input',
    )
    .option('--dir <dir>', 'where identity.pem, ca.pem and agent.yaml go', '/etc/lamplighter')
    .option('--state <dir>', 'where the machine seed goes', '/var/lib/lamplighter')
    .addOption(
      new Option('--role <role>', 'what the token was made for').choices([...ROLES]).default('machine'),
    )
    .option('--peer <name>', 'the name in the relay’s certificate, instead of its host name')
    .option('--require-hedge', 'make no key and no connection unless they rest on the token’s secret')
    .option('--no-boot', 'do not seed the kernel afterwards')
    .option(
      '--deadline <ms>',
      'how long the relay is given, for each of two connections',
      integer(1, 300_000),
      5_000,
    )
    .option('--json', 'print what was done as one JSON object')
    .addHelpText(
      'after',
      '\nIt can be done again: whatever fails, what was there before goes on working, and the same token finishes what was begun.\n' +
        'Exit code 0 says that this machine has a certificate, whatever the first boot did.',
    )
    .action(run);
}

async function run(flags: EnrollFlags): Promise<void> {
  const [{ enroll }, { systemEnvironment }, { systemNative }, { systemProcess }] = await Promise.all([
    import('../agent/enroll.js'),
    import('../local/environment.js'),
    import('../local/native-doors.js'),
    import('../local/process-environment.js'),
  ]);
  // A core dump would hold the token, the key and the seed.
  systemNative.disableCoreDumps();
  // Node would open its debugger at SIGUSR1.
  process.on('SIGUSR1', () => undefined);
  const environment = systemEnvironment();
  const { relay, dir, state, role, peer, requireHedge, boot, deadline } = flags;
  const enrolling = enroll(
    {
      relay,
      token: await readToken(flags.tokenFile),
      role,
      folder: dir,
      state,
      ...(peer !== undefined && { peer }),
      requireHedge: requireHedge === true,
      noBoot: !boot,
      deadlineMs: deadline,
      signal: untilStopped(),
      onProgress: (line) => say(`lamplighter: ${line}`),
    },
    { environment, native: systemNative, process: systemProcess() },
  );
  const report = await during(`enrolling at ${relay.host}`, enrolling);
  if (flags.json) answer(JSON.stringify(report));
  else describe(report);
}

function describe(report: EnrollReport): void {
  const { name, role, identity, ca, config, seed, boot, bootReason, notAfter } = report;
  if (bootReason !== undefined) {
    say(`lamplighter: the first boot: ${bootReason.message} [${bootReason.code}]`);
    if (bootReason.hint !== undefined) say(`hint: ${bootReason.hint}`);
  }
  for (const { name: relay, answered, reason } of boot?.relays ?? []) {
    if (!answered)
      say(
        `lamplighter: relay ${relay}: ${reason?.message ?? 'no answer'} [${reason?.code ?? 'ERR_DEADLINE'}]`,
      );
  }
  if (boot !== undefined) {
    const kernel = 'reason' in boot.kernel ? 'not seeded' : 'seeded';
    say(`lamplighter: first boot: kernel ${kernel}, ${boot.beacons} of ${boot.required} required beacons`);
  }
  const next =
    role === 'machine'
      ? 'next: systemctl enable --now lamplighter-agent'
      : 'next: name these files under tls: in the configuration of the node';
  const made = [identity, ca, ...(config?.made === true ? [config.path] : [])].join(', ');
  answer(`${role} ${name} until ${notAfter}: ${made}; seed ${seed.state}; ${next}`);
}

/** Never from an argument or a variable: both are read by others. */
async function readToken(file: string): Promise<string> {
  const [{ open }, { LamplighterError }] = await Promise.all([
    import('node:fs/promises'),
    import('@lamplighter/core'),
  ]);
  const bytes = Buffer.alloc(MAX_TOKEN_FILE_BYTES + 1);
  let lengthBytes = 0;
  try {
    if (file === '-') {
      for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
        lengthBytes += chunk.copy(bytes, lengthBytes);
        chunk.fill(0);
        if (lengthBytes > MAX_TOKEN_FILE_BYTES) break;
      }
    } else {
      const handle = await open(file, 'r');
      try {
        const { mode } = await handle.stat();
        if ((mode & 0o077) !== 0) {
          say(
            `lamplighter: WARNING: others may read ${file} (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
          );
          say('hint: whoever reads it before it is used can enrol in place of this machine: chmod 600');
        }
        for (;;) {
          const { bytesRead } = await handle.read(bytes, lengthBytes, bytes.length - lengthBytes);
          lengthBytes += bytesRead;
          if (bytesRead === 0 || lengthBytes > MAX_TOKEN_FILE_BYTES) break;
        }
      } finally {
        await handle.close();
      }
    }
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new LamplighterError('ERR_TOKEN_FORMAT', `the token in ${file} cannot be read (${why})`, {
      hint: 'check the path and who may read it',
      cause,
    });
  }
  // decodeToken says what is wrong with one that is too long.
  const text = bytes.toString('latin1', 0, lengthBytes);
  bytes.fill(0);
  return text;
}
