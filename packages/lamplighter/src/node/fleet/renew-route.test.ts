import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newKeyAndCsr } from '../../identity/csr.js';
import { ground, IssuingFolder } from '../../identity/issued.fixture.js';
import { readRegister } from '../../identity/issued-register.js';
import { identityOfCertificate, type PeerIdentity, type Role, ROLES } from '../../identity/roles.js';
import { rotate } from '../../identity/rotation.js';
import { loadTlsFiles, type TlsMaterial } from '../../identity/tls-files.js';
import { fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { needs } from '../../needs.fixture.js';
import { problemCodeOf, readBounded, request } from '../../wire/client.js';
import { Listener } from '../../wire/listener.js';
import { caught } from '../../wire/raw-peer.fixture.js';
import { renew, RENEW_PATH } from '../../wire/renew.js';
import { renewRoute } from './renew-route.js';
import { RenewalBudget } from './renewal-budget.js';

const HOUR_MS = 3_600_000;
const LIFE_MS = 48 * HOUR_MS;

let place: string;
let ca: IssuingFolder;
let relay: TlsMaterial;
beforeAll(async () => {
  place = await ground();
  ca = await IssuingFolder.make(place);
  relay = await ca.material('relay', 'relay-1');
});

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.stop(0)));
});

/** A node that is the CA. */
async function authorityNode({ folder = ca.folder, tls = relay, lifeMs = LIFE_MS } = {}) {
  const listener = new Listener(tls);
  open.push(listener);
  const environment = fixedEnvironment();
  const revoked: string[] = [];
  const route = renewRoute(listener, {
    folder,
    lifeMs,
    environment,
    isRevoked: ({ name }) => revoked.includes(name),
  });
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  const upstream = (as: TlsMaterial) =>
    ({ url: new URL(`https://127.0.0.1:${port}`), tls: as, roles: ['office', 'relay'] }) as const;
  return {
    route,
    environment,
    revoked,
    renew: (as: TlsMaterial) => renew(upstream(as), { current: as, trustFile: as.ca, deadlineMs: 5_000 }),
    /** What it answers to a body, as a code. */
    async told(as: TlsMaterial, body: Uint8Array | string): Promise<unknown> {
      const response = await request(upstream(as), {
        method: 'POST',
        path: RENEW_PATH,
        body: Buffer.from(body),
        deadlineMs: 5_000,
      });
      const answer = await readBounded(response.body, 65_536);
      return response.status === 200 ? 200 : [response.status, problemCodeOf(answer)?.code];
    },
  };
}

const identityOf = ({ certificatePem }: { certificatePem: string }): PeerIdentity =>
  identityOfCertificate(new X509Certificate(certificatePem));

describe('POST /v1/renew', () => {
  it.each(ROLES)('gives a %s what it is, and nothing else', async (role: Role) => {
    const node = await authorityNode();
    const current = await ca.material(role, `a-${role}`, HOUR_MS);
    const renewed = await node.renew(current);
    const { fingerprint: _, serial, ...who } = identityOf(renewed);
    const { fingerprint: __, serial: before, ...was } = current.identity;
    expect(who).toEqual(was);
    expect(serial).not.toBe(before);
    expect(renewed.notAfter.getTime() - Date.now()).toBeGreaterThan(LIFE_MS - 60_000);
    expect(new X509Certificate(renewed.certificatePem).keyUsage).toEqual(
      new X509Certificate(current.cert).keyUsage,
    );
    const entries = [];
    for await (const entry of readRegister(ca.folder)) entries.push(entry);
    expect(entries.at(-1)).toMatchObject({ role, name: `a-${role}`, serial, how: 'renew' });
    expect(node.route.status()).toEqual({ renewed: 1, refused: 0 });
  });

  it('is for the listener’s own peers: the new certificate works at once, with its key', async () => {
    const node = await authorityNode();
    const current = await ca.material('machine', 'at-once', HOUR_MS);
    const { keyPem, certificatePem } = await node.renew(current);
    const next = { ...current, key: keyPem, cert: Buffer.from(certificatePem) };
    expect(identityOf(await node.renew(next))).toMatchObject({ name: 'at-once' });
  });

  it('is taken off again', async () => {
    const node = await authorityNode();
    node.route.remove();
    expect(await caught(node.renew(await ca.material('machine', 'late')))).toMatchObject({
      code: 'ERR_NOT_FOUND',
    });
  });

  it('refuses who was revoked while it was connected', async () => {
    const node = await authorityNode();
    node.revoked.push('gone');
    const current = await ca.material('machine', 'gone', HOUR_MS);
    expect(await caught(node.renew(current))).toMatchObject({ code: 'ERR_REVOKED' });
    const names: string[] = [];
    for await (const { name, how } of readRegister(ca.folder)) if (how === 'renew') names.push(name);
    expect(names).not.toContain('gone');
  });

  it('refuses what is no request', async () => {
    const node = await authorityNode({ lifeMs: 1_000 });
    const machine = await ca.material('machine', 'garbage', HOUR_MS);
    const { csrPem } = await newKeyAndCsr();
    const told = async (body: string): Promise<unknown> => {
      // Attempts are counted too.
      node.environment.advance(60_000);
      return node.told(machine, body);
    };
    expect(await told('')).toEqual([400, 'ERR_CSR']);
    expect(await told('hello')).toEqual([400, 'ERR_CSR']);
    expect(await told(csrPem + csrPem)).toEqual([400, 'ERR_CSR']);
    expect(await told(csrPem.replace(/[a-z]/, 'Q'))).toEqual([400, 'ERR_CSR']);
    expect(await told('x'.repeat(8_193))).toEqual([413, 'ERR_BODY_TOO_LARGE']);
    expect(await told(csrPem)).toBe(200);
  });

  it('says when to come back to who renews again and again, and to nobody else', async () => {
    const node = await authorityNode();
    const eager = await ca.material('machine', 'eager', HOUR_MS);
    for (let time = 0; time < 6; time += 1) await node.renew(eager);
    expect(await caught(node.renew(eager))).toMatchObject({
      code: 'ERR_UPSTREAM_STATUS',
      retryAfterMs: 600_000,
    });
    await node.renew(await ca.material('machine', 'patient', HOUR_MS));
    node.environment.advance(600_000);
    await node.renew(eager);
    expect(node.route.status()).toEqual({ renewed: 8, refused: 1 });
  });

  it('leads a machine from one root to the next', async () => {
    const rotating = await IssuingFolder.make(place, 'rotating');
    const { folder } = rotating;
    const tls = await rotating.material('relay', 'relay-1');
    const start = await rotating.material('machine', 'web-1', HOUR_MS);
    const after = async (by: TlsMaterial, current: TlsMaterial): Promise<TlsMaterial> => {
      // Shorter at the second step: the change of roots is no time to insist on a later end.
      const lifeMs = by === tls ? 40 * 24 * HOUR_MS : LIFE_MS;
      const renewed = await (await authorityNode({ folder, tls: by, lifeMs })).renew(current);
      const ca = renewed.trust === undefined ? current.ca : Buffer.from(renewed.trust);
      const { keyPem: key, certificatePem, notAfter } = renewed;
      const cert = Buffer.from(certificatePem);
      return { ...current, ca, key, cert, notAfter, identity: identityOf(renewed) };
    };
    await rotate(folder, 'begin', { force: true });
    const begun = await after(tls, start);
    const relayBegun = await after(tls, tls);
    await rotate(folder, 'switch', { force: true });
    const switched = await after(relayBegun, begun);
    const relaySwitched = await after(relayBegun, relayBegun);
    await rotate(folder, 'finish', { force: true });
    const finished = await after(relaySwitched, switched);
    expect(finished.ca.toString().match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
    expect(finished.ca.toString()).toBe(await readFile(join(folder, 'ca.pem'), 'utf8'));
    expect(new X509Certificate(finished.cert).checkPrivateKey(createPrivateKey(finished.key))).toBe(true);
  });
});

needs('openssl')('a request made by openssl', () => {
  /** @returns the PEM of a request with this subject and these names */
  function csrBy(subject: string, names?: string): string {
    const key = join(place, 'openssl.key');
    const args = ['req', '-new', '-newkey', 'ed25519', '-nodes', '-keyout', key, '-subj', subject];
    if (names !== undefined) args.push('-addext', `subjectAltName=${names}`);
    return execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
  }

  it('cannot ask for somebody else', async () => {
    const node = await authorityNode({ lifeMs: 1_000 });
    const machine = await ca.material('machine', 'web-1', HOUR_MS);
    const server = await ca.material('relay', 'relay-2', HOUR_MS);
    const told = async (as: TlsMaterial, ...what: [subject: string, names?: string]): Promise<unknown> => {
      node.environment.advance(60_000);
      return node.told(as, csrBy(...what));
    };
    const foreign = [403, 'ERR_CSR_NAME'];
    expect(await told(machine, '/CN=web-2')).toEqual(foreign);
    expect(await told(machine, '/', 'URI:lamplighter:machine/web-2')).toEqual(foreign);
    expect(await told(machine, '/', 'URI:lamplighter:relay/web-1')).toEqual(foreign);
    expect(await told(machine, '/CN=web-1', 'DNS:localhost')).toEqual(foreign);
    expect(await told(server, '/CN=relay-2', 'DNS:localhost,DNS:elsewhere.example')).toEqual(foreign);
    expect(await told(machine, '/CN=web-1', 'URI:lamplighter:machine/web-1')).toBe(200);
    expect(await told(server, '/CN=relay-2', 'DNS:localhost,IP:127.0.0.1')).toBe(200);
  });
});

describe('the budget of renewals', () => {
  const peer = (name: string): PeerIdentity => ({
    role: 'machine',
    name,
    fingerprint: new Uint8Array(32),
    serial: '00',
  });

  it('lets short-lived certificates be renewed as often as they must be', () => {
    const environment = fixedEnvironment();
    const budget = new RenewalBudget(environment, 60_000);
    for (let time = 0; time < 200; time += 1) {
      budget.spend(peer('web-1'));
      environment.advance(40_000);
    }
  });

  it('takes nothing when it refuses, and remembers no more names than its bound', () => {
    const environment = fixedEnvironment();
    const budget = new RenewalBudget(environment, LIFE_MS);
    for (let time = 0; time < 6; time += 1) budget.spend(peer('web-1'));
    for (let time = 0; time < 100; time += 1) expect(() => budget.spend(peer('web-1'))).toThrow(/too often/);
    environment.advance(600_000);
    budget.spend(peer('web-1'));
    for (let at = 0; at < 11_000; at += 1) budget.spend(peer(`other-${at}`));
    expect(budget.size).toBe(10_000);
    environment.advance(3_600_000);
    budget.spend(peer('last'));
    expect(budget.size).toBe(1);
  });
});

describe('what a peer is called', () => {
  it('is read from its certificate by the listener as it is by ourselves', async () => {
    const { identity } = await loadTlsFiles(await ca.files('relay', 'named'));
    expect(identity.names).toEqual(['localhost', '127.0.0.1', '0:0:0:0:0:0:0:1']);
    expect((await ca.material('machine', 'unnamed')).identity.names).toBeUndefined();
  });
});
