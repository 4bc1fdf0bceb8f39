import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BootReport } from '../../packages/lamplighter/dist/agent/boot.js';
import { createAuthority, issueCertificate } from '../../packages/lamplighter/dist/identity/authority.js';
import {
  decodeSeedFile,
  encodeSeedFile,
  type SeedRecord,
} from '../../packages/lamplighter/dist/local/seed/seed-record.js';
import { Command, freePorts, untilStatus } from '../processes.fixture.js';
import type { ClientHello } from './client-hello.fixture.js';
import { type HedgeUse, readUses } from './hedge-record.fixture.js';
import { Tap } from './tap.fixture.js';

const PROGRAM = fileURLToPath(new URL('../../packages/lamplighter/bin/lamplighter.js', import.meta.url));
/** Compiled: the processes that load it are Node alone. */
const RECORDER = new URL('../dist/bootstrap/hedge-recorder.fixture.js', import.meta.url).href;
const RUN_DEADLINE_MS = 30_000;

export interface RunOptions {
  /** A command that runs the agent. */
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Another Node than this one. */
  readonly node?: string;
  readonly flags?: readonly string[];
  /** SIGKILL after so long. */
  readonly killAfterMs?: number;
}

/** What one `agent --once` did. */
export interface Run {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What it wrote to its report file; undefined when it did not get so far. */
  readonly report: BootReport | undefined;
  readonly uses: readonly HedgeUse[];
  readonly tookMs: number;
}

/** The same, and what its relay heard of it. */
export type HeardRun = Run & { readonly hellos: readonly ClientHello[] };

/** For tests: a machine with a certificate, a seed of its own and a relay, on which `lamplighter agent --once` is run. */
export class Machine {
  readonly folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-bootstrap-'));
  readonly #running = new Set<ChildProcess>();
  #tap: Tap | undefined;
  #relay: Command | undefined;
  #runs = 0;

  /** @param options - `relay`: false puts nothing behind the tap, so that no beacon ever comes */
  static async make(options: { relay: boolean }): Promise<Machine> {
    const machine = new Machine();
    try {
      await machine.#open(options);
      return machine;
    } catch (error) {
      await machine.end();
      throw error;
    }
  }

  async #open({ relay }: { relay: boolean }): Promise<void> {
    const authorityDirectory = this.path('ca');
    const outDirectory = this.path('certificates');
    await createAuthority({ directory: authorityDirectory });
    await issueCertificate({ authorityDirectory, outDirectory, role: 'machine', name: 'machine' });
    if (!relay) {
      this.#tap = await Tap.open();
      return;
    }
    const ip = ['127.0.0.1'];
    await issueCertificate({ authorityDirectory, outDirectory, role: 'relay', name: 'relay', ip });
    const ports = await freePorts('listen', 'admin');
    const file = this.write('relay.yaml', {
      name: 'relay',
      state: 'relay-state',
      tls: this.#tls('relay'),
      listen: { host: '127.0.0.1', port: ports.listen },
      admin: { port: ports.admin },
      sources: [{ kind: 'timing' }, { kind: 'os' }],
      outlets: [{ kind: 'beacon' }],
    });
    this.#relay = new Command(['node', '--config', file]);
    await untilStatus(ports.admin, 'the relay is ready', ({ state }) => state === 'ready');
    this.#tap = await Tap.open(ports.listen);
  }

  path(...names: string[]): string {
    return path.join(this.folder, ...names);
  }

  /** Writes a file; objects as YAML, which JSON is. @returns its path */
  write(name: string, content: object | string | Uint8Array): string {
    const isText = typeof content === 'string' || content instanceof Uint8Array;
    writeFileSync(this.path(name), isText ? content : JSON.stringify(content));
    return this.path(name);
  }

  /** Starts `agent --once` and waits for its end. */
  async start(state: string, options: RunOptions = {}): Promise<Run> {
    const { prefix = [], env = {}, node = process.execPath, flags = [], killAfterMs } = options;
    // Of one length: the arguments of a process move its memory, and with it what an OpenSSL without a hedge makes.
    const number = String((this.#runs += 1)).padStart(5, '0');
    const reportFile = this.path(`report-${number}.json`);
    const recordFile = this.path(`uses-${number}`);
    const config = this.write(`agent-${number}.yaml`, {
      tls: this.#tls('machine'),
      relays: [{ name: 'relay', url: `https://127.0.0.1:${this.#tap?.port ?? 0}` }],
      state,
      report: reportFile,
    });
    const [command = node, ...rest] = [...prefix, node, PROGRAM, 'agent', '--once', ...flags];
    const startedMs = performance.now();
    const child = spawn(command, [...rest, '--config', config], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: `--import=${RECORDER}`, HEDGE_RECORD: recordFile, ...env },
      // A group of its own: what runs it, and it, are ended together.
      detached: true,
    });
    this.#running.add(child);
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const timer = setTimeout(() => endGroup(child), killAfterMs ?? RUN_DEADLINE_MS);
    await once(child, 'close');
    clearTimeout(timer);
    this.#running.delete(child);
    const [uses, report] = [readUses(recordFile), lastReport(reportFile)];
    for (const file of [reportFile, recordFile, config]) rmSync(file, { force: true });
    return {
      code: child.exitCode,
      signal: child.signalCode,
      stdout,
      stderr,
      report,
      uses,
      tookMs: performance.now() - startedMs,
    };
  }

  /** The same, with what was heard of it at the other end; nobody else may run meanwhile. */
  async run(state: string, options?: RunOptions): Promise<HeardRun> {
    const run = await this.start(state, options);
    return { ...run, hellos: await this.heard() };
  }

  /** What the relay heard since the last time. */
  async heard(): Promise<readonly ClientHello[]> {
    return (await this.#tap?.take()) ?? [];
  }

  /** Ends everything and removes the folder. */
  async end(): Promise<void> {
    for (const child of this.#running) endGroup(child);
    await this.#relay?.stop('SIGKILL');
    await this.#tap?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #tls(name: string): object {
    const at = (file: string): string => this.path('certificates', file);
    return { ca: at('ca.pem'), cert: at(`${name}.pem`), key: at(`${name}.key`) };
  }
}

/** For tests: a state folder as it lies on the disk. */
export class StateFolder {
  readonly path: string;

  constructor(folder: string) {
    this.path = folder;
  }

  get seedPath(): string {
    return path.join(this.path, 'seed');
  }

  /** The seed file as it is now. @throws Error when it is damaged */
  seed(): SeedRecord & { readonly hash: string } {
    const record = decodeSeedFile(readFileSync(this.seedPath));
    if (typeof record === 'string') throw new Error(`${this.seedPath}: ${record}`);
    return { ...record, hash: createHash('sha256').update(record.seed).digest('hex') };
  }

  /** Puts a seed in its place, as a backup would. */
  putSeed(record: SeedRecord, mode = 0o600): void {
    this.putFile(encodeSeedFile(record), mode);
  }

  putFile(bytes: Uint8Array, mode = 0o600): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    rmSync(this.seedPath, { recursive: true, force: true });
    writeFileSync(this.seedPath, bytes);
    chmodSync(this.seedPath, mode);
  }

  names(): readonly string[] {
    return readdirSync(this.path).sort();
  }
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

function lastReport(file: string): BootReport | undefined {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as { last: BootReport }).last;
  } catch {
    return undefined;
  }
}
