import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';

/** What QEMU tells without being asked: RESET, STOP, RESUME, SHUTDOWN … */
export interface QmpEvent {
  readonly event: string;
  readonly data?: unknown;
}

interface Pending {
  readonly timer: NodeJS.Timeout;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** savevm writes the guest's memory to a disk. */
const ANSWER_MS = 60_000;
const MAX_EVENTS = 1_000;

/** QEMU's control channel: the QEMU Machine Protocol, docs/interop/qmp-spec.txt. */
export class Qmp {
  readonly events: QmpEvent[] = [];
  readonly #stream: Duplex;
  readonly #pending = new Map<number, Pending>();
  #count = 0;
  #closed: Error | undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const lines = createInterface({ input: stream }).on('line', (line) => this.#take(line));
    // The end of QEMU resets the stream, and is told by who waits for QEMU; an interface passes on its stream's errors.
    for (const emitter of [stream, lines]) emitter.on('error', () => {});
    // Before this QEMU takes no other command; what is sent behind it waits.
    this.#send('qmp_capabilities', {});
  }

  /** @returns what the command returned @throws Error when QEMU refuses it, or says nothing for a minute */
  command(name: string, given: object = {}): Promise<unknown> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const id = this.#send(name, given);
    return new Promise((resolve, reject) => {
      const late = () => this.#settle(id)?.reject(new Error(`QEMU did not answer ${name}`));
      this.#pending.set(id, { timer: setTimeout(late, ANSWER_MS), resolve, reject });
    });
  }

  close(reason: Error): void {
    this.#closed ??= reason;
    for (const id of this.#pending.keys()) this.#settle(id)?.reject(this.#closed);
  }

  #send(name: string, given: object): number {
    this.#count += 1;
    this.#stream.write(`${JSON.stringify({ execute: name, arguments: given, id: this.#count })}\n`);
    return this.#count;
  }

  #take(line: string): void {
    const said: unknown = JSON.parse(line);
    if (said === null || typeof said !== 'object') return;
    if ('event' in said && typeof said.event === 'string') {
      this.events.push({ event: said.event, ...('data' in said && { data: said.data }) });
      this.events.splice(0, this.events.length - MAX_EVENTS);
      return;
    }
    const pending = 'id' in said && typeof said.id === 'number' ? this.#settle(said.id) : undefined;
    if ('error' in said) pending?.reject(new Error(`QEMU: ${JSON.stringify(said.error)}`));
    else pending?.resolve('return' in said ? said.return : undefined);
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }
}
