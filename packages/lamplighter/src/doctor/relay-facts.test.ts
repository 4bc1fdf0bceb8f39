import fs from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testAuthority } from '../identity/made-certificates.fixture.js';
import { systemEnvironment } from '../local/environment.js';
import { beaconOutlet } from '../outlets/beacon.js';
import { testNode } from '../outlets/context.fixture.js';
import type { Basis } from '../wire/basis.js';
import { listening, open } from '../wire/hostile-server.fixture.js';
import { type Loopback, loopback } from '../wire/loopback.fixture.js';
import { agentWith, type Ground } from './configured-agent.fixture.js';
import { relayFacts } from './relay-facts.js';

const never = new AbortController().signal;
let ground: Ground;

beforeEach(async () => {
  const folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-doctor-tls-'));
  ground = { folder, authority: await testAuthority() };
});
afterEach(async () => {
  for (const server of open.splice(0)) server.close();
  await fs.rm(ground.folder, { recursive: true, force: true });
});

describe('relays', () => {
  const servers: { stop(deadlineMs: number): Promise<unknown> }[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0).reverse()) await server.stop(1_000);
  });

  async function relay(basis: Basis): Promise<Loopback> {
    const server = await loopback({ authority: ground.authority });
    servers.push(server);
    const root = testNode();
    root.seed();
    root.basis = basis;
    const outlet = beaconOutlet({
      name: 'beacon',
      listener: server.listener,
      environment: systemEnvironment(),
      start: { number: 1n, instanceId: new Uint8Array(16) },
    });
    await outlet.start(root.context, never);
    servers.push(outlet);
    return server;
  }

  const at = (name: string, port: number): { name: string; url: string } => ({
    name,
    url: `https://127.0.0.1:${port}`,
  });

  it('that answer are good, and say who they are and what they rest on', async () => {
    const { port } = await relay({ simulated: false, degraded: false, physical: true });
    const facts = await relayFacts(await agentWith(ground, {}, [at('one', port)]), never);
    expect(facts).toMatchObject([
      { id: 'relays', level: 'ok', values: { configured: 1, answered: 1, required: 1 } },
      {
        id: 'relay.one',
        level: 'ok',
        values: { answered: true, role: 'relay', name: 'upstream', basis: 'physical' },
      },
    ]);
    expect(typeof facts[1]?.values?.['hybrid']).not.toBe('undefined');
  });

  it('that rest on something simulated or degraded are weak', async () => {
    const { port } = await relay({ simulated: true, degraded: true, physical: false });
    const [, fact] = await relayFacts(await agentWith(ground, {}, [at('one', port)]), never);
    expect(fact).toMatchObject({ level: 'weak', values: { basis: 'simulated,degraded' } });
  });

  it('are weak when fewer answer than are required, each with its code, and none waits for a silent one', async () => {
    const { port } = await relay({ simulated: false, degraded: false, physical: true });
    const silent = await listening(net.createServer());
    const refusing = net.createServer().listen(0, '127.0.0.1');
    const closed = await listening(refusing);
    await new Promise((resolve) => refusing.close(resolve));
    const startedMs = performance.now();
    const named = [
      at('good', port),
      at('silent', silent),
      at('closed', closed),
      { ...at('other', port), peer: 'else' },
    ];
    const facts = await relayFacts(
      await agentWith(ground, {}, named, { deadlineMs: 500, require: 2 }),
      never,
    );
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(facts).toMatchObject([
      { id: 'relays', level: 'weak', values: { answered: 1, required: 2 } },
      { id: 'relay.good', level: 'ok' },
      { id: 'relay.silent', level: 'weak', values: { code: 'ERR_DEADLINE' } },
      { id: 'relay.closed', level: 'weak', values: { code: 'ERR_UPSTREAM_UNREACHABLE' } },
      { id: 'relay.other', level: 'weak', values: { code: 'ERR_UPSTREAM_NAME' } },
    ]);
  });

  it('are broken when none answers', async () => {
    const [summary] = await relayFacts(await agentWith(ground, {}, undefined, { deadlineMs: 500 }), never);
    expect(summary).toMatchObject({ id: 'relays', level: 'broken', values: { answered: 0 } });
    expect(summary?.action).toContain('lamplighter agent --once --config agent.yaml');
  });

  it('are not asked where no agent is configured', async () => {
    const { agent: _, ...rest } = await agentWith(ground);
    expect(await relayFacts(rest, never)).toEqual([]);
  });
});
