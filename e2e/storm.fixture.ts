import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** What one process does to a node. */
export interface Storm {
  readonly port: number;
  /** The address it comes from: all of 127/8 is this machine. */
  readonly from: string;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly forMs: number;
  /** So many ask for one beacon a connection, one after the other; each rests as long as told between two. */
  readonly fresh?: number;
  readonly restMs?: number;
  /** So many ask again and again on one connection, two requests ahead of the answers. */
  readonly held?: number;
  /** So many connect and say nothing. */
  readonly silent?: number;
  /** So many begin a handshake and do not go on. */
  readonly stalled?: number;
}

/** What came of it. */
export interface Harvest {
  /** The first half of every beacon, hex. */
  readonly beacons: readonly string[];
  /** How often which code was the answer. */
  readonly refusals: Readonly<Record<string, number>>;
  /** Connections that ended before an answer began. */
  readonly failed: number;
  /** Answers that are none: what was found instead. */
  readonly wrong: readonly string[];
}

/** For tests: lets a process of its own storm a node, and tells what came of it. */
export async function storm(options: Storm): Promise<Harvest> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const killing = setTimeout(() => child.kill('SIGKILL'), options.forMs + 30_000);
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await once(child, 'close');
  clearTimeout(killing);
  return JSON.parse(said) as Harvest;
}

const SCRIPT = `
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

const { port, from, forMs, fresh = 0, restMs = 0, held = 0, silent = 0, stalled = 0, ...options } = JSON.parse(process.argv[1]);
const [ca, cert, key] = [options.tls.ca, options.tls.cert, options.tls.key].map((file) => readFileSync(file));
const secureContext = tls.createSecureContext({ ca, cert, key, minVersion: 'TLSv1.3' });
const REQUEST = 'POST /v1/beacon HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 4\\r\\n\\r\\n1234';
const harvest = { beacons: [], refusals: {}, failed: 0, wrong: [] };
const endMs = performance.now() + forMs;
const isOver = () => performance.now() > endMs;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const open = new Set();

function connect() {
  const raw = net.connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true });
  raw.on('error', () => {}).on('close', () => open.delete(raw));
  open.add(raw);
  return raw;
}

function wrong(what) {
  if (harvest.wrong.length < 20) harvest.wrong.push(what);
}

// Takes one answer off the front of what was received; undefined while it is not whole.
function take(received) {
  const headEnd = received.indexOf('\\r\\n\\r\\n');
  if (headEnd < 0) return undefined;
  const head = received.subarray(0, headEnd).toString('latin1');
  const length = Number(/^content-length: ([0-9]+)$/im.exec(head)?.[1]);
  const end = headEnd + 4 + length;
  if (received.length < end) return undefined;
  const body = received.subarray(headEnd + 4, end);
  const status = Number(head.slice(9, 12));
  if (status === 200) {
    if (length !== 64) wrong('a beacon of ' + length + ' bytes');
    else harvest.beacons.push(body.subarray(0, 32).toString('hex'));
  } else {
    let code;
    try { code = JSON.parse(body.toString()).code; } catch {}
    if (code === undefined || !/^content-type: application\\/problem\\+json$/im.test(head)) wrong(head + body.toString());
    if ((status === 503 || status === 429) && !/^retry-after: [0-9]+$/im.test(head)) wrong('no retry-after: ' + head);
    const told = status + ' ' + code;
    harvest.refusals[told] = (harvest.refusals[told] ?? 0) + 1;
  }
  return received.subarray(end);
}

// One connection: asks until told not to, and looks at every byte it gets.
function ask(ahead, again) {
  return new Promise((resolve) => {
    const raw = connect();
    const socket = tls.connect({ socket: raw, secureContext, checkServerIdentity: () => undefined });
    const giveUp = setTimeout(() => raw.destroy(), 15_000);
    let received = Buffer.alloc(0);
    let answers = 0;
    socket.on('error', () => {});
    socket.once('secureConnect', () => { socket.write(REQUEST.repeat(ahead)); });
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      for (let rest = take(received); rest !== undefined; rest = take(received)) {
        received = rest;
        answers += 1;
        giveUp.refresh();
        if (again && !isOver()) socket.write(REQUEST);
        else if (answers >= ahead) socket.destroy();
      }
    });
    raw.once('close', () => {
      clearTimeout(giveUp);
      socket.destroy();
      if (received.length > 0) wrong('broken off: ' + received.toString('latin1').slice(0, 200));
      if (answers === 0) harvest.failed += 1;
      resolve(answers > 0);
    });
  });
}

async function worker(ahead, again) {
  while (!isOver()) {
    const answered = await ask(ahead, again);
    await sleep(answered ? restMs : 20);
  }
}

async function holder(text) {
  while (!isOver()) {
    const raw = connect();
    raw.write(text);
    raw.resume();
    await new Promise((resolve) => raw.once('close', resolve));
    await sleep(20);
  }
}

const all = [];
for (let i = 0; i < fresh; i += 1) all.push(worker(1, false));
for (let i = 0; i < held; i += 1) all.push(worker(2, true));
for (let i = 0; i < silent; i += 1) all.push(holder(''));
for (let i = 0; i < stalled; i += 1) all.push(holder(Buffer.from('160301', 'hex')));
const ending = setInterval(() => {
  if (performance.now() > endMs + 15_000 || (isOver() && fresh + held === 0)) for (const raw of open) raw.destroy();
}, 100);
await Promise.all(all.slice(0, fresh + held));
for (const raw of open) raw.destroy();
await Promise.all(all);
clearInterval(ending);
process.stdout.write(JSON.stringify(harvest));
`;
