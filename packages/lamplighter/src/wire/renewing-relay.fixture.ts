import { Authority } from '../identity/authority.js';
import { readCsr } from '../identity/csr.js';
import type { IssuingFolder } from '../identity/issued.fixture.js';
import { BASIS_HEADER, BEACON_CONTENT_TYPE, BEACON_PATH } from './beacon.js';
import { encodeIssuedAnswer, ISSUED_CONTENT_TYPE } from './issued-answer.js';
import { type Exchange, Listener } from './listener.js';
import { RENEW_PATH } from './renew.js';

/** A relay that gives beacons, and certificates if it is told how. */
export interface RenewingRelay {
  readonly listener: Listener;
  readonly port: number;
  /** The paths that were asked for, in order. */
  readonly asked: string[];
}

/** Answers renewals as the CA of this folder would. */
export function issuing({ folder }: IssuingFolder, lifeMs: number) {
  return async (exchange: Exchange): Promise<void> => {
    const { role, name } = exchange.peer;
    const { spki } = await readCsr(Buffer.from(exchange.body).toString());
    const authority = await Authority.open(folder);
    const { pem } = await authority.issue({ spki, role, name, lifeMs, how: 'renew' });
    const answer = { certificate: pem, trust: authority.trust(), name, role };
    exchange.reply(200, { 'content-type': ISSUED_CONTENT_TYPE }, encodeIssuedAnswer(answer));
  };
}

/** @param renewal - how it answers renewals; it is no CA without */
export async function renewingRelay(
  ca: IssuingFolder,
  renewal?: (exchange: Exchange) => Promise<void>,
): Promise<RenewingRelay> {
  const listener = new Listener(await ca.material('relay', 'relay'));
  const asked: string[] = [];
  const serve = (path: string, handle: (exchange: Exchange) => Promise<void> | void): void => {
    listener.route({
      method: 'POST',
      path,
      roles: ['machine'],
      maxBodyBytes: 8_192,
      handle: async (exchange) => {
        asked.push(path);
        await handle(exchange);
      },
    });
  };
  serve(BEACON_PATH, (exchange) =>
    exchange.reply(
      200,
      { 'content-type': BEACON_CONTENT_TYPE, [BASIS_HEADER]: 'physical' },
      new Uint8Array(64).fill(1),
    ),
  );
  if (renewal !== undefined) serve(RENEW_PATH, renewal);
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  return { listener, port, asked };
}
