// Beacons a second, over TLS 1.3 keep-alive and one a connection, beside a bare node:https server and pollen. Each server
// has one core to itself, the clients the other; rivals take turns, so that a busy machine is busy for all.
import { randomBytes } from 'node:crypto';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { median, short, table } from './figures.mjs';
import { freshConnections, keepAlive } from './load.mjs';
import { freePort, pinThisProcess, processorSeconds, startServer } from './processes.mjs';
import { startPollen } from './pollen.mjs';
import { machineTls, makeFolder, startRelay } from './relay.mjs';

const ROUNDS = 11;
const ROUND_MS = 400;
const WARM_UP_MS = 1_500;
const CONNECTIONS = 16;
/** Where the rival stands among the contestants that all are compared to. */
const BARE = 1;
const RIVAL = fileURLToPath(new URL('rival-https.mjs', import.meta.url));

export async function run() {
  pinThisProcess();
  const folder = await makeFolder();
  const servers = [];
  try {
    const contestants = await startAll(folder, servers);
    for (const { name, target } of contestants) await warmUp(name, target);
    await compare('keep-alive', keepAlive, contestants);
    await compare('new connections', freshConnections, contestants);
  } finally {
    for (const server of servers) await server.stop();
    folder.remove();
  }
}

async function startAll(folder, servers) {
  const { file } = folder;
  const secureContext = tls.createSecureContext({ ...machineTls(file), minVersion: 'TLSv1.3' });
  const beacon = post('/v1/beacon', randomBytes(32));
  const challenge = Buffer.from('GET /?challenge=0123456789abcdef HTTP/1.1\r\nhost: localhost\r\n\r\n');
  const contestants = [];
  const enter = (name, server, target) => {
    if (!servers.includes(server)) servers.push(server);
    contestants.push({ name, pid: server.pid, target });
  };

  const relay = { port: folder.port, tls: secureContext, request: beacon };
  enter('lamplighter', await startRelay(folder), relay);

  const bare = { port: await freePort(), tls: secureContext, request: beacon };
  const files = ['ca.pem', 'relay.pem', 'relay.key'].map(file);
  const command = [process.execPath, RIVAL, String(bare.port), ...files];
  enter('bare node:https', await startServer(command, { port: bare.port, log: file('rival.log') }), bare);

  const pollen = await startPollen(file);
  if (pollen !== undefined) {
    const secure = { port: pollen.secure, tls: secureContext, request: challenge };
    enter('pollen, no client certificate', pollen, secure);
    enter('pollen, plain HTTP', pollen, { port: pollen.plain, request: challenge });
  }
  return contestants;
}

/** Node compiles what is hot; a node just started may also not be seeded yet. */
async function warmUp(name, target) {
  const deadline = performance.now() + 10_000;
  for (;;) {
    try {
      for (const load of [keepAlive, freshConnections]) {
        await load(target, { connections: CONNECTIONS, forMs: WARM_UP_MS });
      }
      return;
    } catch (error) {
      if (performance.now() > deadline) throw new Error(`${name} does not answer`, { cause: error });
    }
  }
}

/**
 * What is compared is what the server's processor spent on an answer: a rival may be too quick for the clients, and its
 * core then waits.
 */
async function compare(what, load, contestants) {
  const runs = contestants.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, { pid, target }] of contestants.entries())
      runs[index].push(await measure(load, pid, target));
  }
  const middle = (index, of) => median(runs[index].map(of));
  table([
    [what, 'a second', 'core busy', 'µs each', 'to bare node'],
    ...contestants.map(({ name }, index) => [
      name,
      short(middle(index, ({ answers, seconds }) => answers / seconds)),
      `${Math.round(100 * middle(index, ({ busySeconds, seconds }) => busySeconds / seconds))} %`,
      short(1e6 * middle(index, busyEach)),
      median(runs[index].map((run, round) => busyEach(runs[BARE][round]) / busyEach(run))).toFixed(2),
    ]),
  ]);
}

const busyEach = ({ answers, busySeconds }) => busySeconds / answers;

async function measure(load, pid, target) {
  const [startMs, startBusy] = [performance.now(), processorSeconds(pid)];
  const answers = await load(target, { connections: CONNECTIONS, forMs: ROUND_MS });
  return {
    answers,
    seconds: (performance.now() - startMs) / 1_000,
    busySeconds: processorSeconds(pid) - startBusy,
  };
}

const post = (path, body) =>
  Buffer.concat([
    Buffer.from(`POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n`),
    Buffer.from(`content-length: ${body.length}\r\n\r\n`),
    body,
  ]);
