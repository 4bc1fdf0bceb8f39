import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Ports } from './files.js';

/** Where people look first. */
const PREFERRED: Ports = { wall: 9601, officeFeed: 9602, officeAdmin: 9603, relay: 9443, relayAdmin: 9600 };

/**
 * Finds a port for every listener: the preferred one, or a free one where that is taken.
 * @param onTaken - hears of every port that is not the preferred one
 */
export async function choosePorts(
  onTaken: (listener: string, wanted: number, chosen: number) => void,
): Promise<Ports> {
  const chosen = { ...PREFERRED };
  // Held until all are chosen, so that no two get the same.
  const held: { close(): Promise<void> }[] = [];
  for (const listener of Object.keys(PREFERRED) as (keyof Ports)[]) {
    const wanted = PREFERRED[listener];
    const claim = (await hold(wanted)) ?? (await hold(0));
    if (claim === undefined) continue;
    held.push(claim);
    chosen[listener] = claim.port;
    if (claim.port !== wanted) onTaken(listener, wanted, claim.port);
  }
  await Promise.all(held.map((claim) => claim.close()));
  return chosen;
}

function hold(port: number): Promise<{ port: number; close(): Promise<void> } | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () =>
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () => new Promise((closed) => server.close(() => closed())),
      }),
    );
  });
}
