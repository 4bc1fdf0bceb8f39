import { LamplighterError } from '@lamplighter/core';

/** Where bytes come from, as a person writes it: exactly one of the three. */
export interface OriginOptions {
  /**
   * A program and its arguments, one item each; never a shell line. It is expected to speak on stdout until it is
   * stopped. Its arguments are visible to every user of this machine.
   */
  readonly command?: readonly string[] | undefined;
  /** With `command`: it is run once, and an end with code 0 is not a fault. */
  readonly once?: boolean | undefined;
  /** The absolute path of a FIFO, a character device, a unix socket or a regular file (read once, to its end). */
  readonly path?: string | undefined;
  /** `unix:/absolute/path` or `tcp:host:port`; an IPv6 address stands in brackets. */
  readonly connect?: string | undefined;
}

/** The same, parsed. `shown` is the only form that appears in a status, a log or an error. */
export type Origin =
  | {
      readonly kind: 'command';
      readonly program: string;
      readonly args: readonly string[];
      readonly once: boolean;
      readonly shown: string;
    }
  | { readonly kind: 'path'; readonly path: string; readonly shown: string }
  | { readonly kind: 'unix'; readonly path: string; readonly shown: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly shown: string };

const MAX_ARGUMENTS = 128;
/** Paths and addresses are shown in the status, twice at times. */
const MAX_TEXT_LENGTH = 512;
const MAX_ARGUMENT_LENGTH = 16_384;
/** unix(7): sun_path holds 108 bytes, one of them the NUL at its end. */
const MAX_SOCKET_PATH_BYTES = 107;
const MAX_HOST_LENGTH = 253;
const TCP = /^tcp:(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]+)):(\d{1,5})$/;

/**
 * Parses where bytes come from, and finds every fault that can be found without looking at the machine.
 * @throws LamplighterError ERR_CONFIG
 */
export function parseOrigin(options: OriginOptions): Origin {
  const { command, path, connect, once } = options;
  const named = [command, path, connect].filter((value) => value !== undefined);
  if (named.length !== 1) throw refused('needs exactly one of command, path and connect');
  if (once !== undefined && command === undefined) throw refused('has `once`, which is for a command only');
  if (command !== undefined) return commandOrigin(command, once ?? false);
  if (path !== undefined) return { kind: 'path', path: absolute(path), shown: path };
  return connectOrigin(connect ?? '');
}

function commandOrigin(command: readonly string[], once: boolean): Origin {
  const [program, ...args] = command;
  if (program === undefined || program === '') throw refused('has a command without a program');
  if (args.length > MAX_ARGUMENTS) throw refused(`has a command of more than ${MAX_ARGUMENTS} arguments`);
  checkText(program);
  for (const argument of args) checkArgument(argument);
  if (!program.includes('/') && /\s/.test(program)) {
    throw refused(
      'has a command with a space in its program',
      'no shell reads it: write each argument as an item',
    );
  }
  if (program.startsWith('-')) throw refused('has a command that begins with "-"');
  if (program.includes('/')) absolute(program);
  return { kind: 'command', program, args, once, shown: program };
}

function connectOrigin(connect: string): Origin {
  checkText(connect);
  if (connect.startsWith('unix:')) {
    const path = absolute(connect.slice('unix:'.length));
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
      throw refused(`has a socket path of more than ${MAX_SOCKET_PATH_BYTES} bytes`);
    }
    return { kind: 'unix', path, shown: connect };
  }
  const [, address, name, digits] = TCP.exec(connect) ?? [];
  const host = address ?? name;
  const port = Number(digits);
  if (host === undefined || host.length > MAX_HOST_LENGTH || !(port >= 1 && port <= 65_535)) {
    throw refused('has a `connect` that cannot be read', 'write unix:/absolute/path or tcp:host:port');
  }
  return { kind: 'tcp', host, port, shown: connect };
}

function absolute(path: string): string {
  checkText(path);
  // A service has no folder of its own that a person could mean.
  if (!path.startsWith('/')) throw refused('has a path that is not absolute', 'begin it with /');
  return path;
}

/** What cannot be handed to the kernel, or would spoil a terminal where it is shown. */
function checkText(text: string): void {
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(text)) throw refused('holds a control character');
  if (text.length > MAX_TEXT_LENGTH) throw refused(`holds a text of more than ${MAX_TEXT_LENGTH} characters`);
}

/** Arguments are shown nowhere and may be whole scripts; only what no argument can hold is refused. */
function checkArgument(text: string): void {
  if (text.includes('\0')) throw refused('holds a NUL');
  if (text.length > MAX_ARGUMENT_LENGTH)
    throw refused(`has an argument of more than ${MAX_ARGUMENT_LENGTH} characters`);
}

function refused(
  why: string,
  hint = 'write command: [program, argument …], path: /… or connect: …',
): LamplighterError {
  return new LamplighterError('ERR_CONFIG', `the process source ${why}`, { hint });
}
