import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { needs } from '../needs.fixture.js';
import { XENSTORE_TYPE } from './xenstore.js';

const XEN = fileURLToPath(new URL('../../../../e2e/xen/', import.meta.url));
const START_WITHIN_MS = 10_000;
const [INTRODUCE, RELEASE] = [8, 9];

/** The daemon itself: what is on PATH is a script that wants a hypervisor. */
const DAEMON = namesIn('/usr/lib')
  .filter((name) => name.startsWith('xen-'))
  .map((name) => `/usr/lib/${name}/bin/xenstored`)
  .find((file) => fs.existsSync(file));

/** A `describe` for tests against Xen's own xenstored (Debian: xen-utils-4.17, xenstore-utils, python3, gcc). */
export const needsXenstored = needs(
  ...(DAEMON === undefined ? ['xen-utils-4.17'] : []),
  'xenstore-ls',
  'python3',
  'gcc',
  'setpriv',
);

/** What the daemon says to somebody: the kind is 16 for an error, whose name is then the payload. */
export interface Told {
  readonly kind: number;
  readonly payload: Buffer;
}

/** Xen's own xenstored, without Xen, in a folder of its own; and guests that speak to it over their rings. */
export class Xenstored {
  readonly folder: string;
  readonly socket: string;
  #daemon: ChildProcess | undefined;
  #driver: ChildProcess | undefined;
  readonly #devices: ChildProcess[] = [];
  #answers: AsyncIterator<string> | undefined;
  #line: Promise<unknown> = Promise.resolve();

  private constructor() {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'xenstored-'));
    this.socket = path.join(this.folder, 'socket');
    const shim = path.join(this.folder, 'shim.so');
    execFileSync('gcc', ['-w', '-shared', '-fPIC', '-o', shim, path.join(XEN, 'xenstored-shim.c'), '-ldl']);
  }

  static async start(): Promise<Xenstored> {
    const xenstored = new Xenstored();
    await xenstored.begin();
    return xenstored;
  }

  /** Starts the daemon, whose store is empty. */
  async begin(): Promise<void> {
    fs.rmSync(this.socket, { force: true });
    this.#daemon = leashed(DAEMON ?? 'xenstored', ['-N', '-R'], {
      ...this.#variables(),
      LD_PRELOAD: path.join(this.folder, 'shim.so'),
    });
    for (const endMs = Date.now() + START_WITHIN_MS; !(await answers(this.socket));) {
      if (Date.now() > endMs || this.#daemon.exitCode !== null) throw new Error('xenstored did not start');
      await sleep(10);
    }
  }

  /** Ends the daemon at once; its store is lost. */
  async kill(): Promise<void> {
    for (const child of [this.#driver, ...this.#devices.splice(0), this.#daemon]) await ended(child);
    this.#daemon = undefined;
    this.#driver = undefined;
    this.#answers = undefined;
  }

  /** Stops it from answering, or lets it go on. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#daemon?.kill(name);
  }

  async stop(): Promise<void> {
    this.signal('SIGCONT');
    await this.kill();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs one of Xen's command-line clients. @returns what it printed, without the last line end */
  client(name: 'read' | 'write' | 'ls' | 'rm' | 'chmod', ...args: readonly string[]): string {
    return execFileSync(`xenstore-${name}`, args, {
      env: { ...process.env, ...this.#variables() },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).replace(/\n$/, '');
  }

  /**
   * Says what a toolstack says when it has made a guest: its folder, as libxl makes it, then the guest itself.
   * @param options - `hostOwnsData`: not as libxl makes it; what the guest owns, xenstored removes with it by itself
   */
  async create(domain: number, options: { readonly hostOwnsData?: boolean } = {}): Promise<void> {
    const folder = `/local/domain/${domain}`;
    const data = `${folder}/data`;
    await this.#asDom0(XENSTORE_TYPE.makeDirectory, folder);
    await this.#asDom0(XENSTORE_TYPE.setPermissions, folder, 'n0', `r${domain}`);
    await this.#asDom0(XENSTORE_TYPE.makeDirectory, data);
    const owner = options.hostOwnsData === true ? ['n0', `b${domain}`] : [`n${domain}`];
    await this.#asDom0(XENSTORE_TYPE.setPermissions, data, ...owner);
    await this.#asDom0(INTRODUCE, String(domain), '1', '2');
  }

  /** The guest alone: another under a number whose folder stands. */
  introduce(domain: number): Promise<void> {
    return this.#asDom0(INTRODUCE, String(domain), '1', '2');
  }

  /** Makes a folder for a domain that xenstored is not told of; sent on and not waited for, see {@link settled}. */
  mentions(domain: number): void {
    void this.#asDom0(XENSTORE_TYPE.makeDirectory, `/local/domain/${domain}`);
  }

  /** Resolves when all that was asked before has been answered. */
  async settled(): Promise<void> {
    await this.#line;
  }

  /** Says what a toolstack says when a guest has ended. */
  async destroy(domain: number, options: { readonly keepsFolder?: boolean } = {}): Promise<void> {
    await this.#asDom0(RELEASE, String(domain));
    if (options.keepsFolder !== true) await this.#asDom0(XENSTORE_TYPE.remove, `/local/domain/${domain}`);
  }

  /** Asks as a guest, over its ring. */
  asGuest(domain: number, kind: number, payload: string): Promise<Told> {
    return this.#drive({ domain, kind, payload: Buffer.from(payload).toString('hex') });
  }

  /** What a guest finds in a node: its text, or the name of the error. */
  async reads(domain: number, node: string): Promise<string> {
    return (await this.asGuest(domain, XENSTORE_TYPE.read, `${node}\0`)).payload
      .toString('latin1')
      .replace(/\0$/, '');
  }

  /** A character device that speaks as a guest, as /dev/xen/xenbus does in it. @returns its path */
  async device(domain: number): Promise<string> {
    const file = path.join(this.folder, `xenbus-${domain}-${this.#devices.length}`);
    const driver = path.join(XEN, 'ring-driver.py');
    const child = leashed('python3', [driver, this.socket, String(domain), file], this.#variables());
    this.#devices.push(child);
    if (child.stdout === null) throw new Error('no pipe');
    await once(child.stdout, 'data');
    return file;
  }

  async #asDom0(kind: number, ...fields: readonly string[]): Promise<void> {
    const payload = Buffer.from(fields.map((field) => `${field}\0`).join(''));
    const told = await this.#drive({ as: 'dom0', domain: 0, kind, payload: payload.toString('hex') });
    if (told.kind === XENSTORE_TYPE.error)
      throw new Error(`${fields[0]}: ${told.payload.toString('latin1')}`);
  }

  /** One after the other. */
  #drive(request: object): Promise<Told> {
    const answer = this.#line.then(async () => {
      const { stdin, lines } = this.#guests();
      stdin.write(`${JSON.stringify(request)}\n`);
      const line = await lines.next();
      if (line.done === true) throw new Error('the driver has ended');
      const { kind, payload } = JSON.parse(line.value) as { kind: number; payload: string };
      return { kind, payload: Buffer.from(payload, 'hex') };
    });
    this.#line = answer.catch(() => undefined);
    return answer;
  }

  #guests() {
    this.#driver ??= leashed('python3', [path.join(XEN, 'ring-driver.py'), this.socket], this.#variables());
    const { stdin, stdout } = this.#driver;
    if (stdin === null || stdout === null) throw new Error('no pipes');
    this.#answers ??= readline.createInterface({ input: stdout })[Symbol.asyncIterator]();
    return { stdin, lines: this.#answers };
  }

  #variables(): NodeJS.ProcessEnv {
    return {
      XENSTORED_RUNDIR: this.folder,
      XENSTORED_ROOTDIR: this.folder,
      XENSTORED_RINGS: this.folder,
      XENSTORED_PATH: this.socket,
    };
  }
}

/** A child that ends with us. */
function leashed(program: string, args: readonly string[], variables: NodeJS.ProcessEnv): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
    env: { ...process.env, ...variables },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

async function ended(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'close');
  child.kill('SIGKILL');
  await gone;
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const knock = net.connect(socket);
    knock.once('connect', () => {
      knock.destroy();
      resolve(true);
    });
    knock.once('error', () => resolve(false));
  });
}

function namesIn(folder: string): readonly string[] {
  return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
}
