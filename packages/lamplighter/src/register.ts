/**
 * `node --import lamplighter/register app.js`: hedges an unchanged program. This process's OpenSSL, hence its keys, TLS and
 * `crypto.randomBytes`, is reseeded at start and every few minutes from local sources and, where there is one, the agent of this
 * machine (its socket: LAMPLIGHTER_SOCKET, or /run/lamplighter/egd.sock); what Node cached before is dropped.
 *
 * What it did: `NODE_DEBUG=lamplighter` prints a line for each reseed; a program asks `hedge.status()`, from
 * `import { hedge } from 'lamplighter/register'` or, without importing, `globalThis[Symbol.for('lamplighter.hedge')]`.
 * Child processes are other processes: put it into NODE_OPTIONS to have them hedged too.
 */
import { debuglog } from 'node:util';
import { agentSocket, DEFAULT_AGENT_SOCKET } from './local/agent-socket.js';
import { systemEnvironment } from './local/environment.js';
import { Lamplighter } from './local/lamplighter.js';
import { systemNative } from './local/native-doors.js';
import { OpensslHedge } from './local/openssl-hedge.js';
import { systemProcess } from './local/process-environment.js';

export type { HedgeStatus } from './local/openssl-hedge.js';

const debug = debuglog('lamplighter');

const lamplighter = Lamplighter.create({
  sources: [agentSocket(process.env['LAMPLIGHTER_SOCKET'] ?? DEFAULT_AGENT_SOCKET)],
});

/** The hedge of this process; see {@link OpensslHedge.status}. */
export const hedge = new OpensslHedge(lamplighter, {
  environment: systemEnvironment(),
  process: systemProcess(),
  native: systemNative,
  log: (line) => debug('%s', line),
});

Object.defineProperty(globalThis, Symbol.for('lamplighter.hedge'), { value: hedge, configurable: true });
hedge.start();
// Local sources are there at once; what the agent says comes a moment later, and is no reason to wait.
void lamplighter.ready().then(() => hedge.heard());
