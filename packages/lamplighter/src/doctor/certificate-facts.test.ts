import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agentConfig } from '../agent/config.js';
import { type MadeCertificate, testAuthority } from '../identity/made-certificates.fixture.js';
import { needs } from '../needs.fixture.js';
import { nodeConfig } from '../node/config.js';
import { agentFacts } from './agent-facts.js';
import { certificateFacts } from './certificate-facts.js';
import { clockFacts } from './clock-facts.js';
import { readConfigurations } from './configurations.js';
import { agentWith, DAY_MS, type Ground } from './configured-agent.fixture.js';
import type { Fact } from './fact.js';
import { memoryFacts } from './memory-facts.js';
import { relayFacts } from './relay-facts.js';
import type { Subject } from './subject.js';

const never = new AbortController().signal;
let ground: Ground;

beforeEach(async () => {
  const folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-doctor-tls-'));
  ground = { folder, authority: await testAuthority() };
});
afterEach(() => fs.rm(ground.folder, { recursive: true, force: true }));

async function certificateOf(subject: Subject): Promise<Fact | undefined> {
  const [fact] = await certificateFacts(subject);
  return fact;
}

describe('the certificate of an agent', () => {
  it('is good: whose, how long still, and how its key is kept', async () => {
    expect(await certificateOf(await agentWith(ground))).toMatchObject({
      id: 'certificate.agent',
      level: 'ok',
      values: {
        role: 'machine',
        name: 'web-1',
        daysLeft: 20,
        keyMode: '0600',
        keyType: 'ed25519',
        caDaysLeft: 399,
      },
    });
  });

  const inLastWeek = {
    notBefore: new Date(Date.now() - 23.5 * DAY_MS),
    notAfter: new Date(Date.now() + 6.5 * DAY_MS),
  };

  it('is weak in its last week, with the command that renews it', async () => {
    const fact = await certificateOf(await agentWith(ground, inLastWeek));
    expect(fact).toMatchObject({ level: 'weak', values: { daysLeft: 6 } });
    expect(fact?.values).not.toHaveProperty('renewsAt');
    expect(fact?.action).toBe(
      `Renew the certificate: \`lamplighter ca issue --ca DIR --role machine --name web-1 --out ${ground.folder} --replace\`.`,
    );
  });

  describe('that renews itself', () => {
    /** @param last - what its agent last reported, beside its boot */
    async function reporting(certificate: MadeCertificate, renewal?: object, relays: object[] = []) {
      const report = join(ground.folder, 'agent.json');
      const content = { last: { relays }, ...(renewal && { renewal: { renewed: false, ...renewal } }) };
      await fs.writeFile(report, JSON.stringify(content));
      const more = { report, authority: { url: 'https://127.0.0.1:1' } };
      return certificateOf(await agentWith(ground, certificate, undefined, more));
    }

    it('is good, and says when', async () => {
      const fact = await reporting({});
      const renewsAt = String(fact?.values?.['renewsAt']);
      expect(fact?.level).toBe('ok');
      expect(fact?.text).toContain(`renewed by itself from ${renewsAt} on`);
      expect(Date.parse(renewsAt)).toBeGreaterThan(Date.now() + 12 * DAY_MS);
      expect(Date.parse(renewsAt)).toBeLessThan(Date.now() + 14 * DAY_MS);
    });

    it('is good for a while after that moment, and weak when nothing has come of it', async () => {
      const past = (days: number) => ({
        notBefore: new Date(Date.now() - days * DAY_MS),
        notAfter: new Date(Date.now() + (30 - days) * DAY_MS),
      });
      expect(await reporting(past(20.2))).toMatchObject({ level: 'ok' });
      const fact = await reporting(past(22.8));
      expect(fact?.level).toBe('weak');
      expect(fact?.text).toContain('should have been renewed');
      expect(fact?.action).toBe('Renew the certificate: `lamplighter agent renew --config agent.yaml`.');
    });

    it('is weak when its agent could not, with the code it was told', async () => {
      const refused = { reason: { code: 'ERR_RENEWAL', message: 'no \u001b[31m' } };
      const fact = await reporting(inLastWeek, refused);
      expect(fact).toMatchObject({ level: 'weak', values: { code: 'ERR_RENEWAL' } });
      expect(fact?.text).toContain('could not be renewed [ERR_RENEWAL]');
      expect(JSON.stringify(fact)).not.toContain('[31m');
      // It was replaced since.
      expect(await reporting({}, refused)).toMatchObject({ level: 'ok' });
    });

    it('is broken when it was revoked, whoever said so', async () => {
      const reason = { code: 'ERR_REVOKED', message: 'revoked' };
      for (const fact of [await reporting({}, { reason }), await reporting({}, undefined, [{ reason }])]) {
        expect(fact).toMatchObject({ level: 'broken', values: { code: 'ERR_REVOKED' } });
        expect(fact?.text).toContain('has been revoked');
        expect(fact?.action).toContain('lamplighter ca unrevoke');
      }
    });

    it('is judged by itself when the report is none', async () => {
      const report = join(ground.folder, 'agent.json');
      await fs.writeFile(report, '{"last":7}');
      expect(await certificateOf(await agentWith(ground, {}, undefined, { report }))).toMatchObject({
        level: 'ok',
      });
    });
  });

  it.each<[string, MadeCertificate, string, string]>([
    ['has expired', { notAfter: new Date(Date.now() - DAY_MS) }, 'expired on', 'lamplighter ca issue'],
    ['has no role', { names: [] }, 'no role', 'lamplighter ca issue'],
    [
      'has a role that no relay answers',
      { role: 'admin' },
      'must be machine or service or relay',
      '--role machine',
    ],
  ])('is broken when it %s', async (_, certificate, words, action) => {
    const fact = await certificateOf(await agentWith(ground, certificate));
    expect(fact?.level).toBe('broken');
    expect(fact?.text).toContain(words);
    expect(fact?.action).toContain(action);
  });

  it('is broken when others may read its key, or there is none', async () => {
    const subject = await agentWith(ground);
    const key = join(ground.folder, 'web-1.key');
    await fs.chmod(key, 0o644);
    expect(await certificateOf(subject)).toMatchObject({
      level: 'broken',
      values: { code: 'ERR_KEY_FILE' },
      action: `Run \`chmod 600 ${key}\`.`,
    });
    await fs.rm(key);
    expect(await certificateOf(subject)).toMatchObject({ level: 'broken', values: { code: 'ERR_KEY_FILE' } });
    expect(await relayFacts(subject, never)).toMatchObject([{ id: 'relays', level: 'broken' }]);
  });

  it('from before the clock began is the clock’s fault', async () => {
    const subject = await agentWith(ground);
    expect(await clockFacts(subject)).toMatchObject([{ level: 'ok' }]);
    const environment = { ...subject.environment, realtimeNs: () => 60_000_000_000n };
    const [fact] = await clockFacts({ ...subject, environment });
    expect(fact).toMatchObject({ id: 'clock.time', level: 'broken', values: { code: 'ERR_CLOCK' } });
    expect(fact?.text).toContain('1970-01-01');
  });

  it('of a node that listens must be a server’s', async () => {
    const subject = await agentWith(ground, { role: 'service' });
    const { agent, ...rest } = subject;
    const node = (more: object): Subject => ({
      ...rest,
      node: {
        file: 'node.yaml',
        config: nodeConfig.parse({
          name: 'n',
          state: ground.folder,
          tls: agent?.config.tls,
          sources: [{ kind: 'os' }],
          ...more,
        }),
      },
    });
    expect(await certificateFacts(node({}))).toMatchObject([{ id: 'certificate.node', level: 'ok' }]);
    const [listens] = await certificateFacts(node({ listen: {} }));
    expect(listens).toMatchObject({ level: 'broken' });
    expect(listens?.action).toContain('--role office --name web-1 --dns HOST');
    const [renews] = await certificateFacts(node({ authority: { url: 'https://127.0.0.1:1' } }));
    expect(renews?.values).toHaveProperty('renewsAt');
  });
});

needs('mkfifo')('what is no regular file', () => {
  it('holds nobody', { timeout: 10_000 }, async () => {
    const subject = await agentWith(ground);
    const key = join(ground.folder, 'web-1.key');
    await fs.rm(key);
    await once(spawn('mkfifo', [key]), 'close');
    expect(await certificateOf(subject)).toMatchObject({ level: 'broken', values: { code: 'ERR_KEY_FILE' } });
    expect(await relayFacts(subject, never)).toMatchObject([{ level: 'broken' }]);
    expect(await clockFacts(subject)).toMatchObject([{ level: 'info' }]);
    const { facts } = await readConfigurations(subject.environment, { agent: key, node: key });
    expect(facts.map(({ level, values }) => [level, values?.['code']])).toEqual([
      ['broken', 'ERR_CONFIG_FILE'],
      ['broken', 'ERR_CONFIG_FILE'],
    ]);
    const report = agentConfig.parse({ ...subject.agent?.config, report: key });
    const reporting: Subject = { ...subject, agent: { file: 'agent.yaml', config: report } };
    expect(await agentFacts(reporting)).toMatchObject([{ values: { reported: false } }]);
    expect(await memoryFacts(reporting)).toHaveLength(1);
  });
});
