import type { Environment } from '../../local/environment.js';
import { findProgram, searchPath } from '../find-program.js';
import { childOver } from './child.js';

/** What a child that reads other people's bytes may still do. */
export interface SandboxNeeds {
  /** It must reach a camera over the network. */
  readonly network: boolean;
  /** Address space, bytes; undefined for a runtime that reserves more than it uses. */
  readonly memoryBytes?: number;
  /** Its own memory, bytes, however much address space it reserves. */
  readonly dataBytes?: number;
  /** A device it must open: it keeps that device's group. */
  readonly device?: string;
  /** It must open files of this user's: started by root it stays root, without any of root's powers. */
  readonly ownFiles: boolean;
}

/** How a child is started with less than we have: `command` and its first arguments, before the program and its own. */
export interface Sandbox {
  readonly command: string;
  readonly prefix: readonly string[];
  /** What it really is, in words, for the status. */
  readonly words: string;
}

/** The overflow user of Linux, which owns nothing. */
const NOBODY = '65534';
const OPEN_FILES = 64;
const PROBE_MS = 5_000;

/**
 * The programs that shut a child in, one started by the other in the child's own process: prlimit (no files written, few
 * opened, no core dump, bounded memory), unshare (a network with nothing in it), setpriv (no capability, none to be had again, killed
 * with us). All of them are in util-linux; those that are missing, or that this kernel refuses, are left out and the words say so.
 *
 * The words are for the status: nothing is claimed that was not tried.
 * @returns undefined when there is no setpriv: then the child could outlive us
 */
export async function sandboxFor(
  needs: SandboxNeeds,
  environment: Environment,
): Promise<Sandbox | undefined> {
  const [prlimit, unshare, setpriv] = await Promise.all(
    ['prlimit', 'unshare', 'setpriv'].map((name) => findProgram(name, environment)),
  );
  if (setpriv === undefined) return undefined;
  const root = process.getuid?.() === 0;
  const nobody = root && !needs.ownFiles;
  // Dropping the bounding set takes a capability, which only root has: so it comes first.
  const who = [
    root
      ? [setpriv, '--bounding-set=-all', ...(nobody ? await asNobody(needs.device, environment) : []), '--']
      : [],
  ].flat();
  const unshared = unshare === undefined || needs.network ? [] : [unshare, '-n', '-U', '--'];
  const alone = unshared.length > 0 && (await works([...who, ...unshared], environment));
  const limits = prlimit === undefined ? [] : [prlimit, ...limitsOf(needs)];
  const powers = ['--pdeathsig', 'KILL', '--no-new-privs', '--inh-caps=-all', '--ambient-caps=-all', '--'];
  const [command = setpriv, ...prefix] = [...limits, ...who, ...(alone ? unshared : []), setpriv, ...powers];
  const words = [
    'no capabilities',
    alone ? 'no network' : needs.network ? 'network' : 'network not taken away',
    limits.length > 0 ? 'writes no file' : 'no limits: prlimit is missing',
    nobody ? 'as nobody' : root ? 'as root without its powers' : 'as this user',
  ];
  return { command, prefix, words: words.join(', ') };
}

function limitsOf({ memoryBytes, dataBytes }: SandboxNeeds): string[] {
  return [
    ['--fsize=0', '--core=0', `--nofile=${OPEN_FILES}`],
    memoryBytes === undefined ? [] : [`--as=${memoryBytes}`],
    dataBytes === undefined ? [] : [`--data=${dataBytes}`],
  ].flat();
}

async function asNobody(device: string | undefined, environment: Environment): Promise<string[]> {
  const groups = device === undefined ? undefined : await groupOf(device, environment);
  const rest = groups === undefined ? ['--clear-groups'] : ['--groups', groups];
  return ['--reuid', NOBODY, '--regid', NOBODY, ...rest];
}

async function groupOf(device: string, environment: Environment): Promise<string | undefined> {
  try {
    return String((await environment.fs.stat(device)).gid);
  } catch {
    return undefined;
  }
}

const tried = new Map<string, Promise<boolean>>();

/** Whether this kernel lets this user start something so; each is tried once. */
function works(command: readonly string[], environment: Environment): Promise<boolean> {
  const key = command.join(' ');
  const known = tried.get(key);
  if (known !== undefined) return known;
  const answer = tryOut(command, environment);
  tried.set(key, answer);
  return answer;
}

async function tryOut([command, ...args]: readonly string[], environment: Environment): Promise<boolean> {
  const program = await findProgram('true', environment);
  if (program === undefined || command === undefined) return false;
  const child = environment.spawn(command, [...args, program], {
    cwd: '/',
    env: { PATH: searchPath() },
    stdio: 'ignore',
  });
  try {
    return (await childOver(child, AbortSignal.timeout(PROBE_MS))) === 'code 0';
  } catch {
    return false;
  }
}
