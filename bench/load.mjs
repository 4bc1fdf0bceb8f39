// A client that does as little as it can, so that the server is what is measured: raw sockets, one request at a time on
// each, and of every answer only its status and length are looked at.
import net from 'node:net';
import tls from 'node:tls';

const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * @typedef {{ port: number, tls?: tls.SecureContext, request: Buffer }} Target `tls` undefined: plain TCP
 */

/**
 * Asks again and again on the same connections.
 * @param {Target} target
 * @param {{ connections: number, forMs: number, onReady?: () => void }} options `onReady`: every connection is there
 * @returns {Promise<number>} answers
 */
export async function keepAlive(target, { connections, forMs, onReady = () => {} }) {
  const sockets = await Promise.all(Array.from({ length: connections }, () => connect(target)));
  let answers = 0;
  onReady();
  const until = performance.now() + forMs;
  const asking = sockets.map(
    (socket) =>
      new Promise((resolve, reject) => {
        onAnswers(socket, reject, () => {
          answers += 1;
          if (performance.now() < until) socket.write(target.request);
          else resolve(undefined);
        });
        socket.write(target.request);
      }),
  );
  try {
    await stayAwake(Promise.all(asking));
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  return answers;
}

/**
 * Makes a connection, asks once, closes; several at a time.
 * @param {Target} target
 * @param {{ connections: number, forMs: number, onReady?: () => void }} options
 * @returns {Promise<number>} answers
 */
export async function freshConnections(target, { connections, forMs, onReady = () => {} }) {
  let answers = 0;
  onReady();
  const until = performance.now() + forMs;
  const worker = async () => {
    while (performance.now() < until) {
      const socket = await connect(target);
      await new Promise((resolve, reject) => {
        onAnswers(socket, reject, resolve);
        socket.write(target.request);
      });
      socket.destroy();
      answers += 1;
    }
  };
  await stayAwake(Promise.all(Array.from({ length: connections }, worker)));
  return answers;
}

/**
 * Keeps this process from sleeping while it waits. On one machine the server wakes a client that sleeps, which in a VM takes
 * it longer than its whole answer: a slow server would look slower still.
 * @param {Promise<unknown>} waited
 */
async function stayAwake(waited) {
  let isOver = false;
  const over = waited.finally(() => (isOver = true));
  const turn = () => {
    if (!isOver) setImmediate(turn);
  };
  turn();
  await over;
}

/** @param {Target} target */
function connect({ port, tls: secureContext }) {
  return new Promise((resolve, reject) => {
    const raw = net.connect({ port, host: '127.0.0.1', noDelay: true }).once('error', reject);
    if (secureContext === undefined) raw.once('connect', () => resolve(raw));
    // The name is not checked: all servers here hold the same certificate, for the address.
    else {
      const socket = tls.connect({ socket: raw, secureContext, checkServerIdentity: () => undefined });
      socket.once('secureConnect', () => resolve(socket)).once('error', reject);
    }
  });
}

/** Calls back for every whole answer; their length is learnt from the first. */
function onAnswers(socket, fail, onAnswer) {
  let expected = 0;
  let received = 0;
  socket.on('data', (/** @type {Buffer} */ chunk) => {
    if (received === 0 && chunk.latin1Slice(0, 12) !== 'HTTP/1.1 200') {
      fail(new Error(chunk.toString('latin1')));
      return;
    }
    if (expected === 0) expected = answerLength(chunk);
    received += chunk.length;
    if (received < expected) return;
    received = 0;
    onAnswer();
  });
  socket.on('error', fail).on('end', () => fail(new Error('the server closed the connection')));
}

function answerLength(chunk) {
  const bodyAt = chunk.indexOf(HEAD_END) + HEAD_END.length;
  const length = /content-length: (\d+)/i.exec(chunk.latin1Slice(0, bodyAt));
  if (bodyAt < HEAD_END.length || length === null) throw new Error('an answer without a length');
  return bodyAt + Number(length[1]);
}
