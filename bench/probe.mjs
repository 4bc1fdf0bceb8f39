// How a relay looks to somebody who asks for little while others ask for much: a machine that keeps its connection, one that
// makes a new one each time, and whoever looks at the admin listener.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { AnswerReader, askOnce } from './answers.mjs';
import { beaconRequest } from './relay.mjs';

const DEADLINE_MS = 5_000;
const HEALTH_EVERY_MS = 50;
const BEACON_EVERY_MS = 1_000;

/**
 * @typedef {{ asked: number, latenciesMs: number[], refused: string[] }} Seen one latency for each that was answered well, and
 *   what became of the others
 */

/**
 * Looks until it is stopped. The machine that keeps its connection has it when this resolves.
 * @param {{ port: number, adminPort: number, machines: import('./machines.mjs').Machine[] }} relay two machines
 * @returns {Promise<{ stop(): Promise<{ health: Seen, kept: Seen, fresh: Seen, beacons: Buffer[] }> }>}
 */
export async function startProbe({ port, adminPort, machines: [first, second] }) {
  const request = beaconRequest(randomBytes(32));
  const beacons = [];
  const agent = new http.Agent({ keepAlive: true });
  const line = new Line(port, first);
  const well = (answer) => {
    if (answer.beacon !== undefined) beacons.push(answer.beacon);
    return answer.outcome;
  };
  await line.ask(request).then(well);
  const looks = [
    every(HEALTH_EVERY_MS, () => healthOf(adminPort, agent)),
    every(BEACON_EVERY_MS, async () => well(await line.ask(request))),
    every(BEACON_EVERY_MS, async () =>
      well(await askOnce({ port, request, deadlineMs: DEADLINE_MS, ...second })),
    ),
  ];
  return {
    async stop() {
      const [health, kept, fresh] = await Promise.all(looks.map((look) => look.stop()));
      agent.destroy();
      line.close();
      return { health, kept, fresh, beacons };
    },
  };
}

/** Asks again and again at fixed times, whether or not it is answered. */
function every(periodMs, ask) {
  /** @type {Seen} */
  const seen = { asked: 0, latenciesMs: [], refused: [] };
  const asking = new Set();
  const once = async () => {
    const beganMs = performance.now();
    seen.asked += 1;
    const outcome = await ask();
    if (outcome === 'served') seen.latenciesMs.push(performance.now() - beganMs);
    else seen.refused.push(outcome);
  };
  const timer = setInterval(() => {
    const one = once().finally(() => asking.delete(one));
    asking.add(one);
  }, periodMs);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(asking);
      return seen;
    },
  };
}

/** One connection, made again when it was closed. */
class Line {
  #port;
  #machine;
  #waiting = [];
  #socket;

  constructor(port, machine) {
    this.#port = port;
    this.#machine = machine;
  }

  ask(request) {
    this.#socket ??= this.#open();
    return new Promise((resolve) => {
      const deadline = setTimeout(() => resolve({ outcome: 'gave up' }), DEADLINE_MS);
      this.#waiting.push((answer) => {
        clearTimeout(deadline);
        resolve(answer);
      });
      this.#socket.write(request);
    });
  }

  close() {
    this.#socket?.destroy();
  }

  #open() {
    const { localAddress, tls: secureContext } = this.#machine;
    const raw = net.connect({ port: this.#port, host: '127.0.0.1', localAddress, noDelay: true });
    const socket = tls.connect({ socket: raw, secureContext, checkServerIdentity: () => undefined });
    const answers = new AnswerReader((answer) => this.#waiting.shift()?.(answer));
    socket.on('data', (chunk) => answers.feed(chunk)).on('error', () => {});
    raw
      .on('error', () => {})
      .on('close', () => {
        socket.destroy();
        this.#socket = undefined;
        for (const answer of this.#waiting.splice(0)) answer({ outcome: 'closed' });
      });
    return socket;
  }
}

function healthOf(port, agent) {
  return new Promise((resolve) => {
    const asked = http.get({ port, host: '127.0.0.1', path: '/healthz', agent }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode === 200 ? 'served' : 'unwell'));
    });
    asked.setTimeout(DEADLINE_MS, () => asked.destroy());
    asked.on('error', () => resolve('no answer'));
  });
}
