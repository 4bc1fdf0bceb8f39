import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import fs from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newKeyAndCsr, readCsr } from '../identity/csr.js';
import { loadTlsFiles } from '../identity/tls-files.js';
import { decodeToken, tokenKeys } from '../identity/token.js';
import { unable } from '../local/ability.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { notingNative } from '../local/fixed-process.fixture.js';
import type { NativeDoors } from '../local/native-doors.js';
import { systemProcess } from '../local/process-environment.js';
import { SeedStore } from '../local/seed/seed-store.js';
import { hedgeInput, hedgeOutput } from '../local/seed/tls-hedge.js';
import type { IssuedAnswer } from '../wire/issued-answer.js';
import { loadAgentConfig } from './config-file.js';
import { enroll, type EnrollOptions, type EnrollReport } from './enroll.js';
import { type Asked, EnrollPlace, failingFs, PowerCut } from './enroll.fixture.js';

/*
 * A machine that enrols over real TLS with relays of a real CA, honest and other. Only the addon is held back: it notes what would go
 * into this process's OpenSSL.
 */

const honestly = ({ honest }: Asked): IssuedAnswer => honest;

let place: EnrollPlace;
let other: EnrollPlace;
beforeAll(async () => {
  place = await EnrollPlace.make();
  other = await EnrollPlace.make();
});
afterEach(() => Promise.all([place.rest(), other.rest()]));
afterAll(() => Promise.all([place.remove(), other.remove()]));

let machines = 0;
let folder: string;
let state: string;
let notes: { call: string; bytes: string }[];
let told: string[];
beforeEach(() => {
  machines += 1;
  folder = place.path(`etc-${machines}`);
  state = place.path(`state-${machines}`);
  notes = [];
  told = [];
});

interface More extends Partial<EnrollOptions> {
  readonly environment?: Environment;
  readonly native?: NativeDoors;
}

function run(
  port: number,
  token: string,
  { environment, native, ...more }: More = {},
): Promise<EnrollReport> {
  return enroll(
    {
      relay: new URL(`https://127.0.0.1:${port}`),
      token,
      role: 'machine',
      folder,
      state,
      noBoot: true,
      deadlineMs: 5_000,
      signal: new AbortController().signal,
      onProgress: (line) => told.push(line),
      ...more,
    },
    {
      environment: environment ?? systemEnvironment(),
      native: native ?? notingNative(notes),
      process: systemProcess(),
    },
  );
}

const at = (file: string): string => join(folder, file);
const identity = () => loadTlsFiles({ ca: at('ca.pem'), cert: at('identity.pem'), key: at('identity.pem') });
const seedFacts = () =>
  new SeedStore(state, { environment: systemEnvironment(), native: notingNative() }).facts();
const modeOf = async (path: string): Promise<string> => ((await fs.stat(path)).mode & 0o777).toString(8);
const seedBytes = (): Promise<Buffer> => fs.readFile(join(state, 'seed'));

describe('a machine with a token', () => {
  it('has afterwards an identity, a CA, a seed and a configuration that go together', async () => {
    const { port } = await place.relay(honestly);
    const report = await run(port, await place.token());
    expect(report).toMatchObject({
      name: 'web-1',
      role: 'machine',
      hedge: 'on',
      resumed: false,
      seed: { state: 'made' },
      config: { path: at('agent.yaml'), made: true },
    });
    expect((await fs.readdir(folder)).sort()).toEqual([
      'agent.yaml',
      'ca.pem',
      'enroll.lock',
      'identity.pem',
    ]);
    expect(await modeOf(at('identity.pem'))).toBe('600');
    expect(await modeOf(folder)).toBe('700');
    expect((await identity()).identity).toMatchObject({ role: 'machine', name: 'web-1' });
    expect(await fs.readFile(at('ca.pem'), 'utf8')).toContain('# lamplighter trust 1\n');
    expect(await seedFacts()).toMatchObject({ counter: 0n, fault: undefined });
    expect(await modeOf(join(state, 'seed'))).toBe('600');
    expect(await loadAgentConfig(systemEnvironment(), at('agent.yaml'))).toMatchObject({
      tls: { ca: at('ca.pem'), cert: at('identity.pem'), key: at('identity.pem') },
      relays: [{ name: 'relay-1', url: 'https://127.0.0.1:9443' }],
      state,
    });
  });

  it('reseeds OpenSSL with HMAC_DRBG(HMAC(HKDF(token secret, "hedge"), x)) before its first key and connection', async () => {
    const { port } = await place.relay(honestly);
    const token = await place.token();
    const fixed = fixedEnvironment();
    let before: readonly string[] | undefined;
    const connect: Environment['connect'] = (endpoint) => {
      // The key is on the disk before the first connection, and was made after the reseed.
      before ??= [...notes.map(({ call }) => call), ...readdirSync(folder)];
      return fixed.connect(endpoint);
    };
    await run(port, token, { environment: { ...fixed, connect } });
    expect(before).toEqual(['reseedOpenssl', 'enroll.lock', 'identity.pending']);
    const { hedge } = tokenKeys(decodeToken(token).secret);
    const expected = hedgeOutput(hedge, hedgeInput(fixed, 0n));
    expect(notes).toEqual([{ call: 'reseedOpenssl', bytes: Buffer.from(expected).toString('hex') }]);
  });

  it('takes the relays it is told of, and the configuration that is there it leaves alone', async () => {
    const relays = [{ name: 'a', url: 'https://a.example:1', peer: 'relay-a' }];
    const { port } = await place.relay(({ honest }) => ({ ...honest, relays }));
    await run(port, await place.token());
    expect((await loadAgentConfig(systemEnvironment(), at('agent.yaml'))).relays).toEqual(relays);
    await fs.writeFile(at('agent.yaml'), '{}');
    const again = await run(port, await place.token());
    expect(again.config).toEqual({ path: at('agent.yaml'), made: false });
    expect(await fs.readFile(at('agent.yaml'), 'utf8')).toBe('{}');
    expect(told.join('\n')).toContain('was there before');
  });

  it('says so when nobody says where beacons are', async () => {
    const { port } = await place.relay(({ honest: { certificate, trust, name, role } }) => ({
      certificate,
      trust,
      name,
      role,
    }));
    const report = await run(port, await place.token());
    expect(report.config).toEqual({ path: at('agent.yaml'), made: false });
    expect(told.join('\n')).toContain('write');
    await expect(fs.stat(at('agent.yaml'))).rejects.toThrow('ENOENT');
  });

  it('checks the name of the relay where it is told one', async () => {
    const { port } = await place.relay(honestly);
    const token = await place.token();
    await expect(run(port, token, { peer: 'relay-2' })).rejects.toMatchObject({ code: 'ERR_UPSTREAM_NAME' });
    await run(port, token, { peer: 'relay-1' });
    const config = await loadAgentConfig(systemEnvironment(), at('agent.yaml'));
    expect(config.relays).toEqual([{ name: 'relay-1', url: 'https://127.0.0.1:9443', peer: 'relay-1' }]);
  });

  it('without the addon says loudly that nothing rests on the token, or refuses before anything is made', async () => {
    const { port, asked } = await place.relay(honestly);
    const off: NativeDoors = {
      ...notingNative(),
      available: () => unable('hidden'),
      reseedOpenssl: () => unable('hidden'),
      lockFile: () => unable('hidden'),
    };
    const token = await place.token();
    const refused = run(port, token, { native: off, requireHedge: true });
    await expect(refused).rejects.toMatchObject({ code: 'ERR_HEDGE_OFF' });
    expect(asked()).toBe(0);
    expect(await fs.readdir(folder)).toEqual(['enroll.lock']);
    const report = await run(port, token, { native: off });
    expect(report).toMatchObject({
      hedge: 'off',
      hedgeReason: { code: 'ERR_HEDGE_OFF' },
      seed: { state: 'absent' },
    });
    expect(told.filter((line) => line.startsWith('WARNING'))).toHaveLength(2);
  });

  it('is refused before anything is done when the token is for another role, or is none', async () => {
    await expect(run(1, await place.token({ role: 'relay' }))).rejects.toMatchObject({
      code: 'ERR_TOKEN_ROLE',
    });
    const token = await place.token();
    await expect(run(1, token.slice(0, -2))).rejects.toMatchObject({ code: 'ERR_TOKEN_FORMAT' });
    await expect(fs.stat(folder)).rejects.toThrow('ENOENT');
    expect(notes).toEqual([]);
  });

  it('does not enrol twice at once in one folder', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let arrived = (): void => undefined;
    const isThere = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const { port } = await place.relay(async ({ honest }) => {
      arrived();
      await held;
      return honest;
    });
    const first = run(port, await place.token());
    await isThere;
    await expect(run(port, await place.token())).rejects.toMatchObject({ code: 'ERR_OUTPUT_FILE' });
    release();
    await first;
  });
});

describe('enrolling again', () => {
  it('replaces identity and seed, and puts the old seed into the new one', async () => {
    const { port } = await place.relay(honestly);
    await run(port, await place.token());
    const [before, oldSeed] = [await identity(), await seedBytes()];
    const report = await run(port, await place.token());
    expect(report.seed).toEqual({ state: 'replaced' });
    // The old seed's own use first, then the token's.
    expect(notes.map(({ call }) => call)).toEqual(Array(3).fill('reseedOpenssl'));
    expect((await identity()).identity.serial).not.toBe(before.identity.serial);
    expect((await identity()).key).not.toEqual(before.key);
    expect(await seedBytes()).not.toEqual(oldSeed);
  });

  it('uses a key that was made without the hedge only where that is no matter, and says so', async () => {
    const requests: string[] = [];
    let isLost = true;
    const { port } = await place.relay(({ request, honest }) => {
      requests.push(request.csr);
      return isLost ? new Uint8Array(0) : honest;
    });
    const token = await place.token();
    const off: NativeDoors = { ...notingNative(), reseedOpenssl: () => unable('hidden') };
    await run(port, token, { native: off }).catch(() => undefined);
    isLost = false;
    expect(await run(port, token)).toMatchObject({ resumed: true, hedge: 'off' });
    isLost = true;
    await run(port, token, { native: off }).catch(() => undefined);
    isLost = false;
    expect(await run(port, token, { requireHedge: true })).toMatchObject({ resumed: false, hedge: 'on' });
    expect(new Set(requests).size).toBe(3);
  });

  it('with another CA takes its roots and drops the old ones', async () => {
    await run((await place.relay(honestly)).port, await place.token());
    await run((await other.relay(honestly)).port, await other.token());
    expect((await identity()).identity.name).toBe('web-1');
    const ca = await fs.readFile(at('ca.pem'), 'utf8');
    expect(ca).toContain((await other.certificate()).toString().trim());
    expect(ca).not.toContain((await place.certificate()).toString().trim());
  });

  it('after an answer that was lost uses the same key, as long as the token is the same', async () => {
    const requests: string[] = [];
    let isLost = true;
    const { port } = await place.relay(({ request, honest }) => {
      requests.push(request.csr);
      return isLost ? new Uint8Array(0) : honest;
    });
    const token = await place.token();
    await expect(run(port, token)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL' });
    expect(await modeOf(at('identity.pending'))).toBe('600');
    expect(await fs.readdir(folder)).not.toContain('identity.pem');
    isLost = false;
    expect(await run(port, token)).toMatchObject({ resumed: true });
    expect(requests[1]).toBe(requests[0]);
    expect(await fs.readdir(folder)).not.toContain('identity.pending');
    isLost = true;
    await run(port, token).catch(() => undefined);
    isLost = false;
    expect(await run(port, await place.token())).toMatchObject({ resumed: false });
    expect(new Set(requests).size).toBe(3);
  });

  it.each<[string, (path: string) => Promise<unknown>]>([
    ['damaged', (path) => fs.writeFile(path, 'x'.repeat(400))],
    ['cut off', (path) => fs.truncate(path, 200)],
    ['readable by others', (path) => fs.chmod(path, 0o644)],
    [
      'a link',
      async (path) => {
        await fs.rename(path, `${path}.elsewhere`);
        await fs.symlink(`${path}.elsewhere`, path);
      },
    ],
    [
      'of two keys',
      async (path) => {
        const text = await fs.readFile(path, 'latin1');
        const { csrPem } = await newKeyAndCsr();
        await fs.writeFile(path, text.slice(0, text.indexOf('-----BEGIN CERTIFICATE REQUEST')) + csrPem);
      },
    ],
  ])('uses no pending key that is %s', async (_what, spoil) => {
    const requests: string[] = [];
    let isLost = true;
    const { port } = await place.relay(({ request, honest }) => {
      requests.push(request.csr);
      return isLost ? new Uint8Array(0) : honest;
    });
    const token = await place.token();
    await run(port, token).catch(() => undefined);
    await spoil(at('identity.pending'));
    isLost = false;
    expect(await run(port, token)).toMatchObject({ resumed: false });
    expect(requests[1]).not.toBe(requests[0]);
    await identity();
  });

  it('whatever step the power fails at, what was there works, and doing it again ends it', async () => {
    const { port } = await place.relay(honestly);
    await run(port, await place.token());
    const kept = place.path('kept');
    let steps = 0;
    for (let isOver = false; !isOver; steps += 1) {
      await fs.rm(kept, { recursive: true, force: true });
      await fs.cp(folder, join(kept, 'etc'), { recursive: true });
      await fs.cp(state, join(kept, 'state'), { recursive: true });
      const token = await place.token();
      const disk = failingFs(steps);
      const environment = { ...systemEnvironment(), fs: disk.fs };
      const failure = await run(port, token, { environment }).then(
        () => undefined,
        (error: unknown) => error,
      );
      isOver = !disk.isOff();
      if (!isOver && failure !== undefined) {
        const isExpected = failure instanceof PowerCut || failure instanceof LamplighterError;
        if (!isExpected) throw failure;
      }
      const tls = await identity();
      expect(tls.identity.name, `step ${steps}`).toBe('web-1');
      expect(await seedFacts(), `step ${steps}`).toMatchObject({ fault: undefined });
      await loadAgentConfig(systemEnvironment(), at('agent.yaml'));
      await run(port, token);
      expect((await fs.readdir(folder)).sort()).toEqual([
        'agent.yaml',
        'ca.pem',
        'enroll.lock',
        'identity.pem',
      ]);
      expect((await identity()).identity.serial).not.toBe(tls.identity.serial);
    }
    expect(steps, 'it does fail at every step of it').toBeGreaterThan(15);
  }, 120_000);
});

describe('a server that is not to be believed', () => {
  it('of another CA is told nothing: not a byte beyond the handshake', async () => {
    const honest = await place.relay(honestly);
    const tapped = await tap(honest.port);
    const token = await place.token();
    await run(tapped.port, token);
    // So that what follows can fail: to our relay a request went out, on the second connection.
    expect((await tapped.heard()).map(hasRequest)).toEqual([false, true]);
    await fs.rm(folder, { recursive: true });

    const impostor = await other.relay(honestly);
    const between = await tap(impostor.port);
    await expect(run(between.port, token)).rejects.toMatchObject({ code: 'ERR_ENROLL_CA' });
    expect((await between.heard()).map(hasRequest)).toEqual([false]);
    expect(impostor.asked()).toBe(0);
    expect(await fs.readdir(folder)).toEqual(['enroll.lock', 'identity.pending']);
  });

  it('of another CA that shows ours behind its own certificate is told nothing either', async () => {
    const impostor = await other.server();
    const shown = { ...impostor, ca: Buffer.from((await place.certificate()).toString()) };
    const { port, asked } = await place.relay(honestly, shown);
    await expect(run(port, await place.token())).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(ENROLL_CA|UPSTREAM_CERTIFICATE)$/) as string,
    });
    expect(asked()).toBe(0);
  });

  it('of our CA with a machine’s certificate, or for another address, is told nothing', async () => {
    const keys = await newKeyAndCsr();
    const { spki } = await readCsr(keys.csrPem);
    const cert = Buffer.from(await place.issue(spki, 'machine', 'web-9'));
    const honest = await place.server();
    const machine = await place.relay(honestly, { ...honest, cert, key: keys.keyPem });
    const token = await place.token();
    await expect(run(machine.port, token)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_UPSTREAM_(ROLE|CERTIFICATE)$/) as string,
    });
    const elsewhere = await place.relay(honestly, await place.server('far', 'relay', '192.0.2.1'));
    await expect(run(elsewhere.port, token)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_NAME' });
    expect(machine.asked() + elsewhere.asked()).toBe(0);
  });

  const foreignKey = async ({ honest }: Asked): Promise<IssuedAnswer> => {
    const { spki } = await readCsr((await newKeyAndCsr()).csrPem);
    return { ...honest, certificate: await place.issue(spki, 'machine', 'web-1') };
  };
  it.each<[string, string, (asked: Asked) => IssuedAnswer | Uint8Array | Promise<IssuedAnswer | Uint8Array>]>(
    [
      ['another key', 'ERR_CERTIFICATE_ANSWER', foreignKey],
      [
        'another role',
        'ERR_CERTIFICATE_ANSWER',
        async ({ honest, spki }) => ({
          ...honest,
          role: 'admin',
          certificate: await place.issue(spki, 'admin', 'web-1'),
        }),
      ],
      [
        'another role than it says',
        'ERR_CERTIFICATE_ANSWER',
        ({ honest }) => ({ ...honest, role: 'service' }),
      ],
      ['another name than it says', 'ERR_CERTIFICATE_ANSWER', ({ honest }) => ({ ...honest, name: 'web-2' })],
      [
        'a certificate of another CA',
        'ERR_CERTIFICATE_ANSWER',
        async ({ honest, spki }) => ({
          ...honest,
          certificate: await other.issue(spki, 'machine', 'web-1'),
        }),
      ],
      [
        'a trust list of another CA',
        'ERR_TRUST',
        async ({ honest }) => ({
          ...honest,
          trust: { ...(await otherTrust()) },
        }),
      ],
      [
        'a trust list with a root of its own',
        'ERR_TRUST',
        async ({ honest }) => ({
          ...honest,
          trust: { ...honest.trust, roots: [...honest.trust.roots, (await other.certificate()).toString()] },
        }),
      ],
      [
        'a trust list without a signature',
        'ERR_TRUST',
        ({ honest }) => ({
          ...honest,
          trust: { ...honest.trust, signatures: [] },
        }),
      ],
      ['nothing', 'ERR_UPSTREAM_PROTOCOL', () => new Uint8Array(0)],
      ['a megabyte', 'ERR_UPSTREAM_PROTOCOL', () => new Uint8Array(1_048_576).fill(0x20)],
      ['a beacon', 'ERR_UPSTREAM_PROTOCOL', () => new Uint8Array(64).fill(7)],
    ],
  )('that answers %s changes nothing', async (_what, code, answer) => {
    const good = await place.relay(honestly);
    await run(good.port, await place.token());
    const before = await Promise.all([identity(), fs.readFile(at('ca.pem')), seedFacts()]);
    const { port } = await place.relay(answer);
    await expect(run(port, await place.token())).rejects.toMatchObject({ code });
    const [now, ca, seed] = await Promise.all([identity(), fs.readFile(at('ca.pem')), seedFacts()]);
    expect(now.identity).toEqual(before[0].identity);
    expect(ca).toEqual(before[1]);
    expect(seed.fault).toBeUndefined();
  });

  const otherTrust = async () => {
    const { Authority } = await import('../identity/authority.js');
    return (await Authority.open(other.ca)).trust();
  };

  it('that says nothing is given up by the deadline', async () => {
    const { port } = await place.relay(() => new Promise<IssuedAnswer>(() => undefined));
    await expect(run(port, await place.token(), { deadlineMs: 300 })).rejects.toMatchObject({
      code: 'ERR_DEADLINE',
    });
  });
});

it('no newer list of the CA is replaced by an older one', async () => {
  const { port } = await place.relay(honestly);
  await run(port, await place.token());
  const newer = (await fs.readFile(at('ca.pem'), 'utf8')).replace('trust 1', 'trust 7');
  await fs.writeFile(at('ca.pem'), newer);
  await run(port, await place.token());
  expect(await fs.readFile(at('ca.pem'), 'utf8')).toBe(newer);
});

/** Stands between a machine and a port, and keeps what the machine sends. */
async function tap(to: number): Promise<{ port: number; heard: () => Promise<Buffer[]> }> {
  const sent: Buffer[] = [];
  const open: Promise<unknown>[] = [];
  const server = net.createServer((client) => {
    const number = sent.push(Buffer.alloc(0)) - 1;
    const relay = net.connect(to, '127.0.0.1');
    client.on('data', (chunk) => {
      sent[number] = Buffer.concat([sent[number] ?? Buffer.alloc(0), chunk]);
      relay.write(chunk);
    });
    relay.on('data', (chunk) => client.write(chunk));
    for (const [socket, peer] of [[client, relay] as const, [relay, client] as const]) {
      socket.on('error', () => undefined);
      open.push(new Promise((resolve) => socket.on('close', resolve)));
      socket.on('close', () => peer.destroySoon());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    heard: async () => {
      server.close();
      await once(server, 'close');
      await Promise.all(open);
      return sent;
    },
  };
}

/** Whether a connection carried more than a handshake: a TLS 1.3 client's last handshake message is some 70 bytes in all. */
function hasRequest(bytes: Buffer): boolean {
  const APPLICATION_DATA = 23;
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    if (bytes[at] === APPLICATION_DATA && bytes.readUInt16BE(at + 3) > 100) return true;
  }
  return false;
}
