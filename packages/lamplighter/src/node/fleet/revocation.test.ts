import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAuthority } from '../../identity/authority.js';
import { DEFAULT_QUOTAS } from '../../identity/policy.js';
import {
  removeQuota,
  revokeName,
  revokeSerial,
  setQuota,
  unrevokeName,
} from '../../identity/policy-changes.js';
import type { TlsMaterial } from '../../identity/tls-files.js';
import { systemEnvironment } from '../../local/environment.js';
import { request, UpstreamAgent, type Upstream } from '../../wire/client.js';
import { type Loopback, loopback, serveAnything } from '../../wire/loopback.fixture.js';
import { PolicyGate } from './gate.js';
import { PolicyFollower } from './policy-follower.js';

/* A folder of decisions, a follower, a gate and a listener together: what becomes of connections that are open. */

let ca: string;
let relay: Loopback;
let follower: PolicyFollower;
let gate: PolicyGate;
const heard: (() => void)[] = [];
beforeEach(async () => {
  const environment = systemEnvironment();
  ca = await fs.mkdtemp(join(tmpdir(), 'lamplighter-revocation-'));
  await createAuthority({ directory: ca });
  gate = new PolicyGate({ environment, quotas: DEFAULT_QUOTAS });
  relay = await loopback({ gate });
  follower = new PolicyFollower({ kind: 'ca', folder: ca }, environment);
  follower.onChange((policy) => {
    gate.apply(policy);
    relay.listener.destroyPeers(
      (peer) => gate.isRevoked(peer),
      new LamplighterError('ERR_REVOKED', 'revoked'),
    );
    for (const wake of heard.splice(0)) wake();
  });
  await follower.start();
  serveAnything(relay.listener, 'GET', '/stream', async (exchange) => {
    const stream = exchange.stream({});
    await stream.write(Buffer.from('begun'));
    await once(exchange.signal, 'abort');
  });
  serveAnything(relay.listener, 'POST', '/one', async (exchange) => {
    exchange.spend('beacons', 1);
    exchange.reply(200, {}, Buffer.from('one'));
  });
});
afterEach(async () => {
  await relay.stop(0);
  await follower.stop();
  await fs.rm(ca, { recursive: true, force: true });
});

/** Until the decision is in force. */
async function inForce(decision: Promise<unknown>): Promise<void> {
  const told = new Promise<void>((resolve) => heard.push(resolve));
  await decision;
  await told;
}

const serialOf = ({ cert }: TlsMaterial): string => new X509Certificate(cert).serialNumber;

/** An endless answer that has begun. @returns resolves when it is cut */
async function stream(upstream: Upstream): Promise<{ cut: Promise<unknown>; isOpen: () => boolean }> {
  const { body } = await request(upstream, { method: 'GET', path: '/stream', deadlineMs: 5_000 });
  const cut = new Promise((resolve) => body.once('close', resolve));
  await once(body, 'data');
  body.resume();
  return { cut, isOpen: () => !body.destroyed };
}

async function one(
  upstream: Upstream,
  agent?: UpstreamAgent,
): Promise<{ status: number; text: string; retryAfter: string | undefined }> {
  const { status, body, headers } = await request(upstream, {
    method: 'POST',
    path: '/one',
    deadlineMs: 5_000,
    ...(agent && { agent }),
  });
  let text = '';
  for await (const chunk of body as AsyncIterable<Buffer>) text += chunk.toString();
  return { status, text, retryAfter: headers['retry-after'] };
}

describe('a revoked machine', () => {
  it('is cut off at once, in the middle of an answer and between two, and refused by name from then on', async () => {
    const [web, other] = [
      await relay.upstream('machine', { name: 'web-1' }),
      await relay.upstream('machine', { name: 'web-2' }),
    ];
    const agent = new UpstreamAgent(web);
    expect(await one(web, agent)).toMatchObject({ status: 200 });
    const [theirs, others] = [await stream(web), await stream(other)];
    expect(relay.listener.connections).toBe(3);

    await inForce(revokeName(ca, 'web-1'));
    await theirs.cut;
    expect(relay.listener.connections).toBe(1);
    expect(others.isOpen()).toBe(true);
    for (const answer of [await one(web), await one(web)]) {
      expect(answer.status).toBe(403);
      expect(JSON.parse(answer.text)).toMatchObject({ code: 'ERR_REVOKED' });
    }
    expect((await one(other)).status).toBe(200);
    agent.destroy();
    expect(gate.status().refused.revoked).toBeGreaterThanOrEqual(2);

    // The name alone comes back.
    await inForce(unrevokeName(ca, 'web-1'));
    expect((await one(web)).status).toBe(200);
  });

  it('is known by its certificate, however its serial is written, and not by its name then', async () => {
    const [old, renewed] = [
      await relay.upstream('machine', { name: 'web-1' }),
      await relay.upstream('machine', { name: 'web-1' }),
    ];
    const [theirs, others] = [await stream(old), await stream(renewed)];
    const serial = serialOf(old.tls);
    await inForce(revokeSerial(ca, `00${serial.toLowerCase()}`));
    await theirs.cut;
    expect(others.isOpen()).toBe(true);
    expect((await one(old)).status).toBe(403);
    expect((await one(renewed)).status).toBe(200);
  });
});

describe('a machine that floods', () => {
  it('is told when to come again, and nobody else is', async () => {
    const [web, other] = [
      await relay.upstream('machine', { name: 'web-1' }),
      await relay.upstream('machine', { name: 'web-2' }),
    ];
    await inForce(setQuota(ca, 'web-1', { beaconsPerMinute: 2, beaconBurst: 3 }));
    const agent = new UpstreamAgent(web);
    const answers = [];
    for (let i = 0; i < 10; i++) answers.push(await one(web, agent));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429, 429, 429, 429, 429, 429, 429]);
    expect(JSON.parse(answers[9]?.text ?? '')).toMatchObject({ code: 'ERR_QUOTA' });
    expect(Number(answers[9]?.retryAfter)).toBeGreaterThan(0);
    expect(Number(answers[9]?.retryAfter)).toBeLessThanOrEqual(30);
    // Another connection, as well with another certificate, has spent the same.
    expect((await one(web)).status).toBe(429);
    expect((await one(await relay.upstream('machine', { name: 'web-1' }))).status).toBe(429);
    expect((await one(other)).status).toBe(200);
    await inForce(removeQuota(ca, 'web-1'));
    expect((await one(web, agent)).status).toBe(200);
    agent.destroy();
  });
});
