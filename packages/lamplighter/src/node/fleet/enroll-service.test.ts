import { createPublicKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { pino } from 'pino';
import { afterEach, beforeAll, afterAll, beforeEach, describe, expect, it } from 'vitest';
import { Authority, createAuthority, issueCertificate } from '../../identity/authority.js';
import { type KeyAndCsr, newKeyAndCsr } from '../../identity/csr.js';
import { identityOfCertificate } from '../../identity/roles.js';
import { loadTlsFiles, type TlsMaterial } from '../../identity/tls-files.js';
import { decodeToken, tokenKeys } from '../../identity/token.js';
import { createToken, type NewToken } from '../../identity/token-create.js';
import { TokenFolder } from '../../identity/token-folder.js';
import { listTokens } from '../../identity/token-list.js';
import { systemEnvironment } from '../../local/environment.js';
import { ENROLL_PATH } from '../../wire/enroll.js';
import { askToEnroll, type EnrollAnswer, learnAuthority } from '../../wire/enroll-client.js';
import { Listener } from '../../wire/listener.js';
import { Answers, caught, openTls } from '../../wire/raw-peer.fixture.js';
import type { Upstream } from '../../wire/upstream.js';
import type { EnrollStatus } from '../../wire/fleet-status.js';
import { enrollMaterial, enrollService } from './enroll-service.js';

/*
 * The service on a real listener with a real CA, asked by the real client and by everybody who would like to be one.
 */

const LIFE_MS = 3_600_000;
const PATIENCE = { deadlineMs: 5_000 };

let root: string;
let ca: string;
let tls: TlsMaterial;
beforeAll(async () => {
  root = await fs.mkdtemp(join(tmpdir(), 'lamplighter-enroll-'));
  ca = join(root, 'ca');
  await createAuthority({ directory: ca });
  const made = await issueCertificate({
    authorityDirectory: ca,
    outDirectory: join(root, 'relay'),
    role: 'relay',
    name: 'relay-1',
    ip: ['127.0.0.1'],
  });
  tls = await loadTlsFiles({ ca: made.ca, cert: made.certificate, key: made.key });
});
afterAll(() => fs.rm(root, { recursive: true }));

let listener: Listener;
let port: number;
let status: () => EnrollStatus;
let revoked: Set<string>;
/** By how much the service's clocks are ahead. */
let aheadMs: number;
let logged: string;

beforeEach(async () => {
  await fs.rm(join(ca, 'tokens'), { recursive: true, force: true });
  revoked = new Set();
  aheadMs = 0;
  logged = '';
  listener = new Listener(enrollMaterial(tls), { access: 'server', requestTimeoutMs: 500 });
  const system = systemEnvironment();
  const aheadNs = (): bigint => BigInt(aheadMs) * 1_000_000n;
  ({ status } = enrollService({
    listener,
    folder: ca,
    lifeMs: LIFE_MS,
    environment: {
      monotonicNs: () => system.monotonicNs() + aheadNs(),
      realtimeNs: () => system.realtimeNs() + aheadNs(),
    },
    beaconPort: 9_443,
    isRevoked: (name) => revoked.has(name),
    log: pino({}, { write: (line: string) => void (logged += line) }),
  }));
  ({ port } = await listener.listen({ host: '127.0.0.1', port: 0 }));
});
afterEach(() => listener.stop(0));

async function make(more: Partial<NewToken> = {}): Promise<string> {
  const { text } = await createToken(ca, (await Authority.open(ca)).keyHash, {
    role: 'machine',
    dns: [],
    ip: [],
    ttlMs: 3_600_000,
    uses: 1,
    isRevoked: () => false,
    nowMs: Date.now(),
    ...more,
  });
  return text;
}

const upstream = (more: Partial<Upstream> = {}): Upstream => ({
  url: new URL(`https://127.0.0.1:${port}`),
  tls: { ca: tls.ca },
  roles: ['relay', 'office'],
  ...more,
});

/** Asks as the client does, but for what is given. */
async function ask(
  text: string,
  more: {
    keys?: KeyAndCsr;
    proofKey?: Uint8Array;
    id?: string;
    role?: 'machine' | 'relay';
    up?: Upstream;
  } = {},
): Promise<EnrollAnswer> {
  const token = decodeToken(text);
  return askToEnroll(
    more.up ?? upstream(),
    {
      token: more.id ?? Buffer.from(token.id).toString('hex'),
      role: more.role ?? 'machine',
      proofKey: more.proofKey ?? tokenKeys(token.secret).proof,
      keys: more.keys ?? (await newKeyAndCsr()),
    },
    PATIENCE,
  );
}

const states = async (): Promise<string[]> =>
  (await listTokens(ca, Date.now())).tokens.map(({ state }) => state);
const connectFrom = (localAddress: string) => () => net.connect({ host: '127.0.0.1', port, localAddress });

describe('whoever holds a token', () => {
  it('gets a certificate with the token’s name and role, and is written down', async () => {
    const text = await make({ name: 'web-1' });
    const keys = await newKeyAndCsr();
    const { answer, relay } = await ask(text, { keys });
    expect(answer).toMatchObject({ name: 'web-1', role: 'machine', beaconPort: 9_443 });
    expect(relay).toMatchObject({ role: 'relay', name: 'relay-1' });
    const made = new X509Certificate(answer.certificate);
    expect(identityOfCertificate(made)).toMatchObject({ role: 'machine', name: 'web-1' });
    expect(made.subjectAltName).toBe('URI:lamplighter:machine/web-1');
    expect(Date.parse(made.validTo) - Date.now()).toBeLessThanOrEqual(LIFE_MS);
    expect(made.publicKey.export({ type: 'spki', format: 'der' })).toEqual(
      createPublicKey(keys.keyPem).export({ type: 'spki', format: 'der' }),
    );
    const [token] = (await listTokens(ca, Date.now())).tokens;
    expect(token).toMatchObject({ state: 'spent', taken: [{ name: 'web-1', serial: made.serialNumber }] });
    expect(status()).toEqual({ enrolled: 1, refused: {} });
    expect(JSON.parse(logged)).toMatchObject({ msg: 'enrolled', name: 'web-1', serial: made.serialNumber });
  });

  it('learns the CA from the hash in it, from a server it does not know', async () => {
    const { keyHash } = decodeToken(await make());
    const authority = await learnAuthority(upstream(), keyHash, PATIENCE);
    expect(authority.raw).toEqual(new X509Certificate(await fs.readFile(join(ca, 'ca.pem'))).raw);
    await expect(learnAuthority(upstream(), new Uint8Array(32), PATIENCE)).rejects.toMatchObject({
      code: 'ERR_ENROLL_CA',
    });
  });

  it('may be a relay, with the addresses that the token says and the life it says', async () => {
    const text = await make({
      role: 'relay',
      name: 'relay-2',
      ip: ['127.0.0.1'],
      dns: ['r.example'],
      lifeMs: 60_000,
    });
    const { answer } = await ask(text, { role: 'relay' });
    const made = new X509Certificate(answer.certificate);
    expect(made.subjectAltName).toBe('URI:lamplighter:relay/relay-2, DNS:r.example, IP Address:127.0.0.1');
    expect(Date.parse(made.validTo) - Date.now()).toBeLessThanOrEqual(60_000);
  });

  it('and whose answer was lost, is answered again: same key, same name, no other use', async () => {
    const text = await make();
    const keys = await newKeyAndCsr();
    const [first, again] = [await ask(text, { keys }), await ask(text, { keys })];
    expect(again.answer.name).toBe(first.answer.name);
    expect(again.answer.certificate).not.toBe(first.answer.certificate);
    expect(await states()).toEqual(['spent']);
    aheadMs = 3_601_000;
    await expect(ask(text, { keys })).rejects.toMatchObject({ code: 'ERR_TOKEN_EXPIRED' });
  });

  it('may ask for the name that is his, and for no other', async () => {
    const text = await make({ name: 'web-1' });
    await expect(ask(text, { keys: await newKeyAndCsr('web-2') })).rejects.toMatchObject({
      code: 'ERR_CSR_NAME',
    });
    expect(await states()).toEqual(['active']);
    expect((await ask(text, { keys: await newKeyAndCsr('web-1') })).answer.name).toBe('web-1');
    const made = await make();
    await expect(ask(made, { keys: await newKeyAndCsr('web-1') })).rejects.toMatchObject({
      code: 'ERR_CSR_NAME',
    });
  });
});

describe('a token is refused', () => {
  it('the second time, to another key', async () => {
    const text = await make();
    await ask(text);
    await expect(ask(text)).rejects.toMatchObject({ code: 'ERR_TOKEN_SPENT' });
    expect(status()).toEqual({ enrolled: 1, refused: { ERR_TOKEN_SPENT: 1 } });
  });

  it('to all but one of several machines that come at once', async () => {
    const text = await make();
    const all = await Promise.allSettled(Array.from({ length: 6 }, () => ask(text)));
    expect(all.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
    for (const one of all) {
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'ERR_TOKEN_SPENT' });
    }
  });

  it('after its end, when it is revoked, when nobody knows it, for another role', async () => {
    const text = await make();
    await expect(ask(text, { role: 'relay' })).rejects.toMatchObject({ code: 'ERR_TOKEN_ROLE' });
    await expect(ask(text, { id: 'f'.repeat(32) })).rejects.toMatchObject({ code: 'ERR_TOKEN_UNKNOWN' });
    aheadMs = 3_601_000;
    await expect(ask(text)).rejects.toMatchObject({ code: 'ERR_TOKEN_EXPIRED' });
    aheadMs = 0;
    await new TokenFolder(ca).revoke(Buffer.from(decodeToken(text).id).toString('hex'));
    await expect(ask(text)).rejects.toMatchObject({ code: 'ERR_TOKEN_REVOKED' });
    expect(await states()).toEqual(['revoked']);
  });

  it('while its name is revoked, and is still good when it is free again', async () => {
    const text = await make({ name: 'web-1' });
    revoked.add('web-1');
    await expect(ask(text)).rejects.toMatchObject({ code: 'ERR_REVOKED' });
    revoked.clear();
    expect((await ask(text)).answer.name).toBe('web-1');
  });
});

it('a CA that cannot be used takes no use of a token', async () => {
  const text = await make();
  const key = join(ca, 'ca.key');
  await fs.chmod(key, 0o644);
  await expect(ask(text)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_STATUS' });
  expect(status().refused).toEqual({ ERR_CA_FILE: 1 });
  await fs.chmod(key, 0o600);
  expect(await states()).toEqual(['active']);
  await ask(text);
});

describe('a proof is refused', () => {
  it('that was made without the secret, and no use is taken', async () => {
    const text = await make();
    await expect(ask(text, { proofKey: new Uint8Array(32) })).rejects.toMatchObject({
      code: 'ERR_ENROLL_PROOF',
    });
    expect(await states()).toEqual(['active']);
    await ask(text);
  });

  it('that is passed on from another connection', async () => {
    const text = await make();
    // A relay of this very CA that somebody owns: the machine believes it.
    const between = new Listener(enrollMaterial(tls), { access: 'server' });
    const seen = new Promise<Uint8Array>((resolve) => {
      between.route({
        method: 'POST',
        path: ENROLL_PATH,
        roles: 'anyone',
        maxBodyBytes: 16_384,
        handle: async (exchange) => {
          resolve(Uint8Array.from(exchange.body));
          exchange.reply(500, {}, new Uint8Array(0));
        },
      });
    });
    const at = await between.listen({ host: '127.0.0.1', port: 0 });
    const up = upstream({ url: new URL(`https://127.0.0.1:${at.port}`) });
    await expect(ask(text, { up })).rejects.toMatchObject({ code: 'ERR_UPSTREAM_STATUS' });
    const body = Buffer.from(await seen).toString('latin1');
    const { status: code, body: problem } = await (await raw()).ask(post(body));
    expect(code).toBe(403);
    expect(JSON.parse(problem)).toMatchObject({ code: 'ERR_ENROLL_PROOF' });
    expect(await states()).toEqual(['active']);
    await between.stop(0);
  });

  it('that is for another request: the key cannot be changed on the way', async () => {
    const text = await make();
    const [one, other] = [await newKeyAndCsr(), await newKeyAndCsr()];
    await expect(ask(text, { keys: { ...one, csrPem: other.csrPem } })).rejects.toMatchObject({
      code: 'ERR_ENROLL_PROOF',
    });
  });

  it('whose request is none, though it proves the secret', async () => {
    const text = await make();
    const nothing = { keyPem: Buffer.alloc(0), csrPem: 'nothing', csrDer: Buffer.alloc(0) };
    await expect(ask(text, { keys: nothing })).rejects.toMatchObject({ code: 'ERR_CSR' });
    expect(await states()).toEqual(['active']);
  });
});

const raw = async (): Promise<Answers> =>
  new Answers(await openTls({ port, ca: tls.ca, ALPNProtocols: ['http/1.1'] }));
const post = (body: string, path = ENROLL_PATH): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe('the listener', () => {
  it.each(['', 'null', '[]', '{}', '\u0000'.repeat(100), '{"token":"../../ca"}'])(
    'refuses the body %j',
    async (body) => {
      const answered = await (await raw()).ask(post(body));
      expect(answered.status).toBe(400);
      expect(JSON.parse(answered.body)).toMatchObject({ code: 'ERR_BAD_REQUEST' });
    },
  );

  it('reads no more than 16 KiB', async () => {
    const answered = await (await raw()).ask(post(`"${'A'.repeat(16_384)}"`));
    expect(answered.status).toBe(413);
    const endless = await raw();
    const head = `POST ${ENROLL_PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
    expect((await endless.ask(`${head}${`1000\r\n${'A'.repeat(4_096)}\r\n`.repeat(8)}`)).status).toBe(413);
  });

  it('cuts whoever sends his body slowly', async () => {
    const slow = await raw();
    slow.socket.write(`POST ${ENROLL_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`);
    await slow.closed;
    expect(listener.refused.requestTimeout).toBe(1);
  });

  it('serves nothing else', async () => {
    for (const path of [
      '/',
      '/v1/beacon',
      '/v1/feed',
      '/v1/renew',
      '/v1/status',
      '/metrics',
      '/v1/enroll/',
    ]) {
      expect((await (await raw()).ask(post('', path))).status, path).toBe(404);
    }
    expect((await (await raw()).ask(`GET ${ENROLL_PATH} HTTP/1.1\r\nHost: x\r\n\r\n`)).status).toBe(405);
  });

  it('is not the main one, which refuses in the handshake who has no certificate', async () => {
    const main = new Listener(tls);
    const at = await main.listen({ host: '127.0.0.1', port: 0 });
    const up = upstream({ url: new URL(`https://127.0.0.1:${at.port}`) });
    await expect(ask(await make(), { up })).rejects.toMatchObject({ code: 'ERR_UPSTREAM_REFUSED_US' });
    expect(main.refused.noCertificate).toBe(1);
    expect(main.connections).toBe(0);
    await main.stop(0);
  });

  it('ends with its route', async () => {
    const own = new Listener(enrollMaterial(tls), { access: 'server' });
    const { remove } = enrollService({
      listener: own,
      folder: ca,
      lifeMs: LIFE_MS,
      environment: systemEnvironment(),
      isRevoked: () => false,
    });
    remove();
    const at = await own.listen({ host: '127.0.0.1', port: 0 });
    const up = upstream({ url: new URL(`https://127.0.0.1:${at.port}`) });
    await expect(ask(await make(), { up })).rejects.toMatchObject({ code: 'ERR_UPSTREAM_STATUS' });
    await own.stop(0);
  });
});

describe('failed attempts', () => {
  it('are counted by address: the 31st in a minute waits, whatever it brings; others do not', async () => {
    const text = await make();
    const id = 'f'.repeat(32);
    for (let failed = 0; failed < 30; failed += 1) {
      await expect(ask(text, { id })).rejects.toMatchObject({ code: 'ERR_TOKEN_UNKNOWN' });
    }
    const refusal = await caught(ask(text));
    if (!(refusal instanceof LamplighterError)) throw refusal;
    expect(refusal.code).toBe('ERR_QUOTA');
    expect(refusal.retryAfterMs).toBeGreaterThan(0);
    expect(refusal.retryAfterMs).toBeLessThanOrEqual(60_000);
    await ask(text, { up: upstream({ connect: connectFrom('127.0.0.2') }) });
    aheadMs = 60_000;
    await expect(ask(text)).rejects.toMatchObject({ code: 'ERR_TOKEN_SPENT' });
  });

  it('never burn a token: it is good for its holder after a thousand wrong proofs', async () => {
    const text = await make();
    const wrong = { proofKey: new Uint8Array(32), up: upstream({ connect: connectFrom('127.0.0.3') }) };
    for (let failed = 0; failed < 35; failed += 1) await ask(text, wrong).catch(() => undefined);
    expect(status().refused).toMatchObject({ ERR_ENROLL_PROOF: 30, ERR_QUOTA: 5 });
    expect((await ask(text)).answer.role).toBe('machine');
  });

  it('are not those of machines that proved who they are', async () => {
    const text = await make();
    const keys = await newKeyAndCsr('somebody-else');
    for (let tries = 0; tries < 35; tries += 1) {
      await expect(ask(text, { keys })).rejects.toMatchObject({ code: 'ERR_CSR_NAME' });
    }
  });
});

it('no log line holds a secret', async () => {
  const text = await make();
  const { secret } = decodeToken(text);
  const keys = tokenKeys(secret);
  await ask(text);
  await ask(text).catch(() => undefined);
  await ask(text, { proofKey: new Uint8Array(32) }).catch(() => undefined);
  expect(logged.split('\n')).toHaveLength(4);
  for (const bytes of [secret, keys.hedge, keys.proof, keys.seed].map((value) => Buffer.from(value))) {
    for (const encoding of ['hex', 'base64'] as const) {
      expect(logged).not.toContain(bytes.toString(encoding).slice(0, 12));
    }
  }
});
