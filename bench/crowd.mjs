// Many machines in processes of their own, on the clients' core: each process makes its machines once, and then does what it is
// told, one thing at a time.
import { fork } from 'node:child_process';
import { once } from 'node:events';

/**
 * Starts a process of machines. It ends with this one.
 * @param {URL} script what it does; it uses {@link obey}
 * @param {object} setUp sent to it first
 * @returns {Promise<{ tell(order: object): Promise<any>, stop(): Promise<void> }>}
 */
export async function startCrowd(script, setUp) {
  const child = fork(script, { serialization: 'advanced' });
  const ended = once(child, 'exit');
  const failed = ended.then(([code]) => {
    throw new Error(`a process of clients ended with ${code}`);
  });
  failed.catch(() => {});
  const tell = async (order) => {
    const answer = once(child, 'message').then(([message]) => message);
    child.send(order);
    return Promise.race([answer, failed]);
  };
  await tell(setUp);
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  return { tell, stop };
}

/**
 * The other end: answers every order, the first one with nothing, and ends when its parent is gone.
 * @param {(setUp: any) => void} begin
 * @param {(order: any) => Promise<object>} carryOut
 */
export function obey(begin, carryOut) {
  process.once('message', (setUp) => {
    begin(setUp);
    const obey = async (order) => process.send(await carryOut(order));
    process.on('message', (order) => void obey(order));
    process.send({});
  });
  process.once('disconnect', () => process.exit(1));
}
