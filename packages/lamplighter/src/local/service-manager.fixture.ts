import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** Node cannot hold such a socket. What is sent along, the barrier of systemd-notify, is closed by being left alone. */
const HOLDER = `
import json, socket, sys
held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
held.bind(sys.argv[1])
print('[]', flush=True)
while True:
    print(json.dumps(held.recv(65536).decode().splitlines()), flush=True)
`;

/** For tests: the socket that a service manager listens on, held by python3, and everything that was said to it. */
export class ServiceManagerSocket {
  readonly path: string;
  /** What was heard: one list of assignments for each datagram, without barriers. */
  readonly words: string[][] = [];
  readonly #folder: string;
  readonly #holder: ChildProcess;
  #onWord: (() => void) | undefined;

  static async listen(): Promise<ServiceManagerSocket> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-notify-'));
    const file = path.join(folder, 'notify');
    const holder = spawn('python3', ['-c', HOLDER, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface(holder.stdout);
    await Promise.race([
      once(lines, 'line'),
      once(holder, 'exit').then(() => Promise.reject(new Error('python3 holds no socket'))),
    ]);
    return new ServiceManagerSocket(folder, file, holder, lines);
  }

  private constructor(folder: string, file: string, holder: ChildProcess, lines: NodeJS.EventEmitter) {
    this.#folder = folder;
    this.path = file;
    this.#holder = holder;
    lines.on('line', (line: string) => {
      const words = (JSON.parse(line) as string[]).filter((word) => word !== 'BARRIER=1');
      if (words.length > 0) this.words.push(words);
      this.#onWord?.();
    });
  }

  /** How often a word was said. */
  count(word: string): number {
    return this.words.flat().filter((said) => said === word).length;
  }

  /** Waits until this holds of what was heard. */
  async until(holds: (socket: this) => boolean): Promise<void> {
    while (!holds(this)) {
      await new Promise<void>((resolve) => {
        this.#onWord = resolve;
      });
    }
  }

  async end(): Promise<void> {
    this.#holder.kill('SIGKILL');
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) await once(this.#holder, 'exit');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
