import { isIP } from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import { Authority } from '../../identity/authority.js';
import { readCsr, refuseForeignNames } from '../../identity/csr.js';
import { type PeerIdentity, ROLES } from '../../identity/roles.js';
import type { Environment } from '../../local/environment.js';
import type { RenewalStatus } from '../../wire/fleet-status.js';
import { encodeIssuedAnswer, ISSUED_CONTENT_TYPE } from '../../wire/issued-answer.js';
import type { Exchange, Listener } from '../../wire/listener.js';
import { MAX_RENEW_BYTES, RENEW_PATH } from '../../wire/renew.js';
import type { Log } from '../log.js';
import { RenewalBudget } from './renewal-budget.js';

/** What a node that is the CA renews certificates with. */
export interface RenewRouteOptions {
  /** The CA's folder. */
  readonly folder: string;
  /** How long a new certificate lives. */
  readonly lifeMs: number;
  /** Asked again here: the connection's gate was asked some time ago. */
  readonly isRevoked: (peer: PeerIdentity) => boolean;
  readonly environment: Pick<Environment, 'monotonicNs'>;
  readonly log?: Pick<Log, 'info'>;
}

/**
 * Serves `POST /v1/renew`: a new certificate over the old one, for the same role and name, and for the addresses the old one
 * has. Whatever else the request asks for is refused.
 *
 * Source: DESIGN section 8.
 */
export function renewRoute(
  listener: Pick<Listener, 'route'>,
  options: RenewRouteOptions,
): { remove(): void; status(): RenewalStatus } {
  const budget = new RenewalBudget(options.environment, options.lifeMs);
  let renewed = 0;
  let refused = 0;
  const route = listener.route({
    method: 'POST',
    path: RENEW_PATH,
    roles: ROLES,
    maxBodyBytes: MAX_RENEW_BYTES,
    handle: async (exchange) => {
      try {
        await answer(exchange, budget, options);
        renewed += 1;
      } catch (error) {
        refused += 1;
        throw error;
      }
    },
  });
  return { remove: () => route.remove(), status: () => ({ renewed, refused }) };
}

async function answer(
  exchange: Exchange,
  budget: RenewalBudget,
  { folder, lifeMs, isRevoked, log }: RenewRouteOptions,
): Promise<void> {
  const { peer } = exchange;
  const { role, name, names = [] } = peer;
  // Before the request is read: a signature by a large key takes a while to verify.
  budget.spend(peer);
  const csr = await readCsr(Buffer.from(exchange.body).toString('latin1'));
  const holder = {
    role,
    name,
    dns: names.filter((address) => isIP(address) === 0),
    ip: names.filter((address) => isIP(address) !== 0),
  };
  refuseForeignNames(csr, holder);
  const authority = await Authority.open(folder);
  if (isRevoked(peer)) throw new LamplighterError('ERR_REVOKED', `${role} ${name} has been revoked`);
  const { pem, serial, notAfter } = await authority.issue({
    ...holder,
    spki: csr.spki,
    lifeMs,
    how: 'renew',
  });
  log?.info({ role, name, serial, replaces: peer.serial, notAfter: notAfter.toISOString() }, 'renewed');
  exchange.reply(
    200,
    { 'content-type': ISSUED_CONTENT_TYPE },
    encodeIssuedAnswer({ certificate: pem, trust: authority.trust(), name, role }),
  );
}
