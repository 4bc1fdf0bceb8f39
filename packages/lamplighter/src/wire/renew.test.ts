import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../identity/authority.js';
import { newKeyAndCsr, readCsr } from '../identity/csr.js';
import { ground, IssuingFolder } from '../identity/issued.fixture.js';
import { testAuthority } from '../identity/made-certificates.fixture.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import { signTrust } from '../identity/trust-list.js';
import { encodeIssuedAnswer, type IssuedAnswer } from './issued-answer.js';
import { type Exchange, Listener } from './listener.js';
import { caught } from './raw-peer.fixture.js';
import { renew, RENEW_PATH } from './renew.js';

const HOUR_MS = 3_600_000;

let ca: IssuingFolder;
let foreign: IssuingFolder;
let relay: TlsMaterial;
let machine: TlsMaterial;
beforeAll(async () => {
  const place = await ground();
  // Of one name: only the key tells them apart.
  ca = await IssuingFolder.make(place, 'ca');
  foreign = await IssuingFolder.make(join(place, 'foreign'), 'ca');
  relay = await ca.material('relay', 'relay-1');
  machine = await ca.material('machine', 'web-1', HOUR_MS);
});

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.stop(0)));
});

type Handle = (exchange: Exchange) => Promise<void> | void;

/** Asks a relay that answers as the test says. */
async function renewedBy(handle: Handle, current = machine, deadlineMs = 5_000) {
  const listener = new Listener(relay);
  open.push(listener);
  listener.route({
    method: 'POST',
    path: RENEW_PATH,
    roles: ['machine', 'relay'],
    maxBodyBytes: 8_192,
    handle: async (exchange) => handle(exchange),
  });
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  return renew(
    { url: new URL(`https://127.0.0.1:${port}`), tls: current, roles: ['office', 'relay'] },
    { current, trustFile: current.ca, deadlineMs },
  );
}

/** The answer of a CA that does its work. */
async function honest(
  exchange: Exchange,
  {
    from = ca,
    role = exchange.peer.role,
    name = exchange.peer.name,
    lifeMs = 2 * HOUR_MS,
    spki = undefined as Buffer | undefined,
  } = {},
): Promise<IssuedAnswer> {
  const csr = await readCsr(Buffer.from(exchange.body).toString());
  const authority = await Authority.open(from.folder);
  const { pem } = await authority.issue({
    spki: spki ?? csr.spki,
    role,
    name,
    ...(role === 'relay' && { dns: ['localhost'], ip: ['127.0.0.1', '::1'] }),
    lifeMs,
    how: 'renew',
  });
  return { certificate: pem, trust: authority.trust(), name, role };
}

const json = { 'content-type': 'application/json' };
const sending =
  (answer: (exchange: Exchange) => Promise<IssuedAnswer>): Handle =>
  async (exchange) =>
    exchange.reply(200, json, encodeIssuedAnswer(await answer(exchange)));

describe('a renewal', () => {
  it('gives a key of our own and its certificate, which ends later', async () => {
    const renewed = await renewedBy(sending(honest));
    const leaf = new X509Certificate(renewed.certificatePem);
    expect(leaf.checkPrivateKey(createPrivateKey(renewed.keyPem))).toBe(true);
    expect(leaf.checkPrivateKey(createPrivateKey(machine.key))).toBe(false);
    expect(leaf.subjectAltName).toBe('URI:lamplighter:machine/web-1');
    expect(renewed.notAfter.getTime()).toBeGreaterThan(machine.notAfter.getTime());
    expect(renewed.trust).toBeUndefined();
  });

  it('of a server keeps its addresses', async () => {
    const renewed = await renewedBy(
      sending((exchange) => honest(exchange, { lifeMs: 40 * 24 * HOUR_MS })),
      relay,
    );
    expect(new X509Certificate(renewed.certificatePem).subjectAltName).toContain('DNS:localhost');
  });

  it('may end before the old one does: its CA says how long certificates live', async () => {
    const renewed = await renewedBy(sending((exchange) => honest(exchange, { lifeMs: HOUR_MS / 2 })));
    expect(renewed.notAfter.getTime()).toBeLessThan(Date.now() + HOUR_MS);
  });

  it('sends a request that asks for no name, and makes a new one each time', async () => {
    const seen: { names: readonly string[]; spki: string; headers: object }[] = [];
    for (let time = 0; time < 2; time += 1) {
      await renewedBy(async (exchange) => {
        const { subjectNames, spki } = await readCsr(Buffer.from(exchange.body).toString());
        seen.push({ names: subjectNames, spki: spki.toString('hex'), headers: exchange.headers });
        await sending(honest)(exchange);
      });
    }
    expect(seen.map(({ names }) => names)).toEqual([[], []]);
    expect(seen[0]?.spki).not.toBe(seen[1]?.spki);
    expect(Object.keys(seen[0]?.headers ?? {}).sort()).toEqual([
      'connection',
      'content-length',
      'content-type',
      'host',
    ]);
  });

  it('brings the list of roots with it when it is newer', async () => {
    const key = createPrivateKey(await readFile(join(ca.folder, 'ca.key')));
    const next = await testAuthority('Next CA');
    const root = await readFile(join(ca.folder, 'ca.pem'), 'utf8');
    const { trust } = await renewedBy(
      sending(async (exchange) => ({
        ...(await honest(exchange)),
        trust: signTrust(2, [root.replace(/^#.*\n/, ''), next.pem], [key]),
      })),
    );
    expect(trust).toMatch(/^# lamplighter trust 2\n/);
    expect(trust?.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  });
});

describe('a relay that answers a renewal', () => {
  const other = async (): Promise<Buffer> => (await readCsr((await newKeyAndCsr()).csrPem)).spki;

  it.each<[string, string, (exchange: Exchange) => Promise<IssuedAnswer>]>([
    ['with the certificate of another name', 'it is for machine web-2', (e) => honest(e, { name: 'web-2' })],
    ['with another role', 'it is for service web-1', (e) => honest(e, { role: 'service' })],
    ['with a server’s role', 'it is for relay web-1', (e) => honest(e, { role: 'relay' })],
    [
      'with the certificate of another key',
      'not for our key',
      async (e) => honest(e, { spki: await other() }),
    ],
  ])('%s', async (_, why, answer) => {
    const error = await caught(renewedBy(sending(answer)));
    expect(error).toMatchObject({ code: 'ERR_CERTIFICATE_ANSWER' });
    expect(String(error)).toContain(why);
  });

  it('with a certificate of another CA of the same name', async () => {
    const error = await caught(
      renewedBy(
        sending(async (exchange) => ({
          ...(await honest(exchange, { from: foreign })),
          trust: (await Authority.open(ca.folder)).trust(),
        })),
      ),
    );
    expect(error).toMatchObject({ code: 'ERR_CERTIFICATE_ANSWER' });
    expect(String(error)).toContain('no root that we trust');
  });

  it('with a CA of its own, the certificate by it and the list signed by it', async () => {
    const key = createPrivateKey(await readFile(join(foreign.folder, 'ca.key')));
    const roots = await Promise.all(
      [ca, foreign].map(async ({ folder }) => String((await Authority.open(folder)).roots[0])),
    );
    for (const listed of [roots, roots.slice(1)]) {
      const error = await caught(
        renewedBy(
          sending(async (exchange) => ({
            ...(await honest(exchange, { from: foreign })),
            trust: signTrust(9, listed, [key]),
          })),
        ),
      );
      expect(error).toMatchObject({ code: 'ERR_TRUST' });
    }
  });

  it('with a longer chain', async () => {
    const error = await caught(
      renewedBy(
        sending(async (exchange) => {
          const answer = await honest(exchange);
          return { ...answer, certificate: `${answer.certificate}\n${machine.cert.toString()}` };
        }),
      ),
    );
    expect(error).toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL' });
  });

  it.each<[string, string, Handle]>([
    ['with 1 MiB', 'ERR_UPSTREAM_PROTOCOL', (e) => e.reply(200, json, Buffer.alloc(1_048_576, 0x20))],
    ['with garbage', 'ERR_UPSTREAM_PROTOCOL', (e) => e.reply(200, json, Buffer.from('{"certificate":'))],
    ['with nothing', 'ERR_UPSTREAM_PROTOCOL', (e) => e.reply(200, json, Buffer.alloc(0))],
    [
      'with a page',
      'ERR_UPSTREAM_PROTOCOL',
      (e) => e.reply(200, { 'content-type': 'text/html' }, Buffer.from('hi')),
    ],
    [
      'elsewhere',
      'ERR_UPSTREAM_STATUS',
      (e) => e.reply(302, { location: 'https://127.0.0.1:1/' }, Buffer.alloc(0)),
    ],
  ])('%s', async (_, code, handle) => {
    expect(await caught(renewedBy(handle))).toMatchObject({ code });
  });

  it('not at all, or never to the end, holds nobody longer than the deadline', async () => {
    const startedMs = performance.now();
    expect(await caught(renewedBy(() => new Promise(() => undefined), machine, 300))).toMatchObject({
      code: 'ERR_DEADLINE',
    });
    const drip: Handle = async (exchange) => {
      await exchange.stream(json).write(Buffer.from(' '));
    };
    expect(await caught(renewedBy(drip, machine, 300))).toMatchObject({ code: 'ERR_DEADLINE' });
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });

  it('with a refusal is told by its code', async () => {
    const { LamplighterError } = await import('@lamplighter/core');
    const refusing =
      (...reason: ConstructorParameters<typeof LamplighterError>): Handle =>
      () => {
        throw new LamplighterError(...reason);
      };
    for (const code of ['ERR_REVOKED', 'ERR_NOT_FOUND', 'ERR_METHOD', 'ERR_CSR', 'ERR_CSR_NAME'] as const) {
      expect(await caught(renewedBy(refusing(code, 'no')))).toMatchObject({ code });
    }
    const tooOften = refusing('ERR_QUOTA', 'too often', { retryAfterMs: 7_000 });
    expect(await caught(renewedBy(tooOften))).toMatchObject({
      code: 'ERR_UPSTREAM_STATUS',
      retryAfterMs: 7_000,
    });
  });
});
