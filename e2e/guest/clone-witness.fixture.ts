import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { reseedKernel } from '@lamplighter/native';

/**
 * A program that lives through a snapshot in a guest, and says at a signal what each generator gives then. Started with what
 * it shall watch, as JSON. Loads nothing of ours unless told.
 *
 * SIGHUP: draws, writes, and sends one record on its open TLS connection. SIGUSR2: tells the library of a resume, then draws.
 * SIGWINCH: makes the kernel reseed, so that its next reseed by itself is as far away as can be.
 */
export interface WitnessOptions {
  /** Where answer number N goes: FILE.N. FILE.0 is written when everything is ready. */
  readonly file: string;
  /** Whether it uses the library. */
  readonly library: boolean;
  /** A TLS server on which a connection is held open. */
  readonly tls?: { readonly host: string; readonly port: number };
  /** An EGD socket on which a connection is held open. */
  readonly egd?: string;
}

/** What was drawn, hexadecimal. Equal strings are equal bytes. */
export interface Drawn {
  /** crypto.randomBytes, and so this process's OpenSSL. */
  readonly openssl: readonly string[];
  /** /dev/urandom, one read each. */
  readonly urandom: readonly string[];
  /** randomBytes of the library; empty when it is not used. */
  readonly library: readonly string[];
  /** 64 bytes of the EGD socket; empty when none is held. */
  readonly egd: string;
}

const DRAWS = 8;
const DRAW_BYTES = 32;
/** Other programs draw from the kernel too, not quite as often in every copy: the rows are looked through for one in common. */
const URANDOM_DRAWS = 512;
const EGD_BYTES = 64;
const EGD_READ = Uint8Array.of(0x02, EGD_BYTES);

const options = JSON.parse(process.argv[2] ?? '') as WitnessOptions;
const library = options.library ? await import('lamplighter') : undefined;
const urandom = openSync('/dev/urandom', 'r');
const egd = options.egd === undefined ? undefined : await connected(net.connect(options.egd), 'connect');
const secure =
  options.tls &&
  // What a connection writes is looked at here, not whom it trusts.
  (await connected(tls.connect({ ...options.tls, rejectUnauthorized: false }), 'secureConnect'));
let answers = 0;

process.on('SIGHUP', () => {
  secure?.write('what is written next');
  void answer();
});
process.on('SIGUSR2', () => {
  library?.resume();
  void answer();
});
process.on('SIGWINCH', () => {
  const reseeded = reseedKernel();
  write('reseeded', reseeded.supported ? 'yes' : reseeded.reason);
});
await answer();
// Signals alone keep no process alive.
setInterval(() => undefined, 3_600_000);

async function answer(): Promise<void> {
  const drawn: Drawn = {
    openssl: row(DRAWS, () => randomBytes(DRAW_BYTES)),
    urandom: row(URANDOM_DRAWS, readUrandom),
    library: library === undefined ? [] : row(DRAWS, () => library.randomBytes(DRAW_BYTES)),
    egd: egd === undefined ? '' : (await egdBytes(egd)).toString('hex'),
  };
  write(String(answers), JSON.stringify(drawn));
  answers += 1;
}

function row(count: number, draw: () => Uint8Array): string[] {
  return Array.from({ length: count }, () => Buffer.from(draw()).toString('hex'));
}

function readUrandom(): Uint8Array {
  const bytes = new Uint8Array(DRAW_BYTES);
  if (readSync(urandom, bytes, 0, DRAW_BYTES, null) !== DRAW_BYTES) {
    closeSync(urandom);
    throw new Error('/dev/urandom gave too little');
  }
  return bytes;
}

function egdBytes(socket: net.Socket): Promise<Buffer> {
  return new Promise((resolve) => {
    const look = (): void => {
      const bytes: unknown = socket.read(EGD_BYTES);
      if (!Buffer.isBuffer(bytes)) return;
      socket.off('readable', look);
      resolve(bytes);
    };
    socket.on('readable', look);
    socket.write(EGD_READ);
  });
}

function connected<T extends net.Socket>(socket: T, event: string): Promise<T> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve(socket));
    // After a restore the other end may know nothing of it.
    socket.on('error', reject);
  });
}

function write(name: string, content: string): void {
  const file = `${options.file}.${name}`;
  writeFileSync(`${file}.new`, content);
  renameSync(`${file}.new`, file);
}
