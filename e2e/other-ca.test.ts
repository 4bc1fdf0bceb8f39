import { X509Certificate } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { BootReport } from '../packages/lamplighter/dist/agent/boot.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { type KeyKind, OpensslAuthority, type OpensslCertificate } from './openssl-authority.fixture.js';
import { Place } from './place.fixture.js';
import {
  Command,
  endAll,
  eventually,
  freePorts,
  partOf,
  run,
  statusOf,
  untilStatus,
} from './processes.fixture.js';

/*
 * A fleet whose certificates openssl alone has made: a root that everybody trusts, and an intermediate that nobody knows unless
 * it is sent.
 */

const LOOPBACK = 'IP:127.0.0.1';
const OFFICE: OpensslCertificate = { name: 'office', names: `URI:lamplighter:office/office, ${LOOPBACK}` };
const RELAY: OpensslCertificate = { name: 'relay', names: `URI:lamplighter:relay/relay, ${LOOPBACK}` };
const MACHINE: OpensslCertificate = {
  name: 'machine',
  names: 'URI:lamplighter:machine/machine',
  usage: 'clientAuth',
};
const PAST = ['20200101000000Z', '20210101000000Z'] as const;
const FUTURE = ['20900101000000Z', '20910101000000Z'] as const;

let place: Place;
let authority: OpensslAuthority;
let ports: Record<'office' | 'officeAdmin' | 'relay' | 'relayAdmin', number>;

/** Each with the key of its own kind: a CA may give out what it is not itself. */
function newFleet(keys: KeyKind, machineKeys: KeyKind): void {
  place = new Place();
  authority = new OpensslAuthority(place.path('certificates'), keys);
  authority.issue(OFFICE);
  authority.issue(RELAY);
  authority.issue({ ...MACHINE, keys: machineKeys });
}

const relayFile = (rest: object = {}) =>
  place.writeNode({
    name: 'relay',
    listen: ports.relay,
    admin: ports.relayAdmin,
    ...rest,
    sources: [
      { kind: 'feed', name: 'office', url: `https://127.0.0.1:${ports.office}`, intervalMs: 100 },
      { kind: 'os' },
    ],
    outlets: [{ kind: 'beacon' }],
  });

/** Office and relay, each a process, the relay fed by the office. */
async function startNodes(rest: object = {}): Promise<Command> {
  ports = await freePorts('office', 'officeAdmin', 'relay', 'relayAdmin');
  const office = place.writeNode({
    name: 'office',
    listen: ports.office,
    admin: ports.officeAdmin,
    sources: [{ kind: 'timing' }, { kind: 'os' }],
    outlets: [{ kind: 'feed' }],
  });
  expect(new Command(['node', '--config', office]).isRunning).toBe(true);
  const relay = new Command(['node', '--config', relayFile(rest)]);
  await untilStatus(ports.relayAdmin, 'the relay hears the office', (status) => {
    const { state, bytes } = partOf(status, 'sources', 'office');
    return status.state === 'ready' && state === 'ok' && bytes > 0;
  });
  return relay;
}

/** One boot of the machine. @param cert - the name of the files it uses */
async function boot(cert = 'machine', isOneFile = false) {
  const { ca, cert: pem, key } = place.tls(cert);
  const tlsFiles = { ca, cert: pem, key: isOneFile ? pem : key };
  const file = place.writeAgent([ports.relay], { tls: tlsFiles, state: `state/${cert}` });
  const ended = await run(['agent', '--once', '--json', '--config', file]);
  const report = ended.stdout === '' ? undefined : (JSON.parse(ended.stdout) as BootReport);
  return { ...ended, report };
}

/** What the relay shows in a handshake, to somebody who knows the root alone. */
async function shown(certificate = 'machine'): Promise<readonly X509Certificate[]> {
  const { ca, cert, key } = place.tls(certificate);
  const socket = tls.connect({
    host: '127.0.0.1',
    port: ports.relay,
    ca: readFileSync(ca),
    cert: readFileSync(cert),
    key: readFileSync(key),
  });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const chain: X509Certificate[] = [];
  for (let at = socket.getPeerX509Certificate(); at !== undefined; at = at.issuerCertificate) chain.push(at);
  socket.destroy();
  return chain;
}

/** What a raw client is told that asks for a beacon with these files: status and code, or that it was cut off. */
async function asked(certificate: string): Promise<string> {
  const { ca, cert, key } = place.tls(certificate);
  const socket = tls.connect({
    host: '127.0.0.1',
    port: ports.relay,
    ca: readFileSync(ca),
    cert: readFileSync(cert),
    key: readFileSync(key),
  });
  let text = '';
  socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1'))).on('error', () => undefined);
  socket.once('secureConnect', () =>
    socket.write('POST /v1/beacon HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'),
  );
  await new Promise((resolve) => socket.once('close', resolve));
  const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
  return status === undefined ? 'cut off' : `${status} ${/"code":"(\w+)"/.exec(text)?.[1] ?? 'beacon'}`;
}

afterEach(endAll);

needs('openssl')('a fleet with certificates of another CA', () => {
  beforeAll(() => newFleet('P-256', 'P-384'));
  afterAll(() => place.remove());

  it('hands beacons on from office to machine, over an intermediate that is sent', async () => {
    await startNodes();
    const { code, stderr, report } = await boot();
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) as string });
    expect(report).toMatchObject({ seeded: true, beacons: 1, relays: [{ answered: true }] });
    const chain = await shown();
    // The root is everybody’s own: what came is the leaf and the intermediate.
    expect(chain.map(({ subject }) => subject)).toEqual(['CN=relay', 'CN=Example Intermediate']);
    expect(chain[1]?.fingerprint256).toBe(new X509Certificate(intermediate()).fingerprint256);
  });

  it('takes key and certificate from one file, as enrolment writes them', async () => {
    authority.issue({ ...MACHINE, name: 'one-file', isOneFile: true });
    await startNodes();
    expect((await boot('one-file', true)).report).toMatchObject({ beacons: 1 });
  });

  it.each<[string, Partial<OpensslCertificate>, string]>([
    ['without a URI', { names: 'DNS:machine.example' }, 'the certificate has no role'],
    ['without any name', { names: '' }, 'the certificate has no role'],
    [
      'with two URIs',
      { names: 'URI:lamplighter:machine/a, URI:lamplighter:relay/a' },
      'the certificate has more than one URI',
    ],
    ['with a role that is none', { names: 'URI:lamplighter:root/a' }, 'the certificate’s URI'],
    ['without its intermediate', { isAlone: true }, 'was not issued by the CA in'],
    ['for servers alone', { usage: 'serverAuth' }, 'is not for clientAuth'],
  ])('names a machine’s certificate %s before anything is asked', async (_what, bad, says) => {
    authority.issue({ ...MACHINE, name: 'bad', ...bad });
    ports = await freePorts('office', 'officeAdmin', 'relay', 'relayAdmin');
    const { code, stdout, stderr } = await boot('bad');
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' });
    expect(stderr).toContain(says.replace('’', "'"));
    expect(stderr).toContain('[ERR_CERTIFICATE_FILE]');
  });

  it('seeds a machine whose certificate has expired from what it has by itself, and says so', async () => {
    authority.issue({ ...MACHINE, name: 'bad', dates: PAST });
    ports = await freePorts('office', 'officeAdmin', 'relay', 'relayAdmin');
    const { code, report } = await boot('bad');
    expect(code).toBe(2);
    expect(report).toMatchObject({
      seeded: true,
      relays: [{ reason: { code: 'ERR_CERTIFICATE_EXPIRED' } }],
    });
  });

  it('refuses them at the relay too, whatever a client overlooks', async () => {
    await startNodes();
    const refused: readonly [string, Partial<OpensslCertificate>, string][] = [
      ['good', {}, '200 beacon'],
      ['nameless', { names: 'DNS:machine.example' }, '401 ERR_CERTIFICATE_IDENTITY'],
      [
        'two-faced',
        { names: 'URI:lamplighter:machine/a, URI:lamplighter:relay/a' },
        '401 ERR_CERTIFICATE_IDENTITY',
      ],
      ['admin', { names: 'URI:lamplighter:admin/a' }, '403 ERR_ROLE'],
      ['office-too', { names: 'URI:lamplighter:office/a' }, '403 ERR_ROLE'],
      ['expired', { dates: PAST }, 'cut off'],
      ['future', { dates: FUTURE }, 'cut off'],
      ['alone', { isAlone: true }, 'cut off'],
      ['server', { usage: 'serverAuth' }, 'cut off'],
    ];
    for (const [name, bad] of refused) authority.issue({ ...MACHINE, name, ...bad });
    const answers = await Promise.all(refused.map(async ([name]) => [name, await asked(name)]));
    expect(answers).toEqual(refused.map(([name, , answer]) => [name, answer]));
    // Two pass the agent’s own check: a clock that is not set yet looks like the one, and who may ask is the relay’s to say.
    const { code, report } = await boot('future');
    expect(code).toBe(2);
    expect(report?.relays).toMatchObject([{ answered: false, reason: { code: 'ERR_CLOCK' } }]);
    const wrong = await boot('admin');
    expect(wrong.report?.relays).toMatchObject([
      { answered: false, reason: { code: 'ERR_UPSTREAM_STATUS' } },
    ]);
  });

  it.each<[string, Partial<OpensslCertificate>, string]>([
    ['is a machine’s', MACHINE, 'ERR_UPSTREAM_CERTIFICATE'],
    ['is an office’s', { names: `URI:lamplighter:office/relay, ${LOOPBACK}` }, 'ERR_UPSTREAM_ROLE'],
    ['is for another host', { names: 'URI:lamplighter:relay/relay, IP:127.0.0.2' }, 'ERR_UPSTREAM_NAME'],
    ['is not yet valid', { dates: FUTURE }, 'ERR_UPSTREAM_CERTIFICATE'],
  ])('does not take a relay whose certificate %s', async (_what, bad, code) => {
    ports = await freePorts('office', 'officeAdmin', 'relay', 'relayAdmin');
    authority.issue({ ...RELAY, ...bad, name: 'impostor' });
    const { ca, cert, key } = place.tls('impostor');
    const server = tls.createServer({
      ca: readFileSync(ca),
      cert: readFileSync(cert),
      key: readFileSync(key),
    });
    server.listen(ports.relay, '127.0.0.1');
    try {
      const { report } = await boot();
      expect(report).toMatchObject({ beacons: 0, relays: [{ answered: false, reason: { code } }] });
    } finally {
      server.close();
    }
  });

  it('revokes by a folder that holds the root and no key', async () => {
    const folder = place.path('revoked');
    mkdirSync(path.join(folder, 'policy'), { recursive: true });
    copyFileSync(place.tls('machine').ca, path.join(folder, 'ca.pem'));
    authority.issue({ ...MACHINE, name: 'stolen', names: 'URI:lamplighter:machine/stolen' });
    await startNodes({ authority: { policy: folder } });
    expect((await boot('stolen')).report).toMatchObject({ beacons: 1 });
    const revoke = ['ca', 'revoke', '--ca', folder, '--serial', serialOf('stolen')];
    const shownSerial = serialOf('stolen').replace(/^0+/, '');
    expect(await run(revoke)).toMatchObject({ code: 0, stdout: `${shownSerial} is revoked\n` });
    await eventually('the relay knows', async () => (await asked('stolen')) === '403 ERR_REVOKED');
    expect((await boot('stolen')).report?.relays).toMatchObject([
      { answered: false, reason: { code: 'ERR_REVOKED' } },
    ]);
    expect((await boot()).report).toMatchObject({ beacons: 1 });
  });

  it('takes files replaced on disk, under a new intermediate and in one file, at SIGHUP', async () => {
    const relay = await startNodes();
    const [before] = await shown();
    const admin = ports.relayAdmin;
    authority.newIntermediate();
    authority.issue({ ...RELAY, name: 'renewed' });
    const [renewed, old] = [place.tls('renewed'), place.tls('relay')];
    expect((await shown())[0]?.fingerprint256).toBe(before?.fingerprint256);

    // Between the two renames the files do not go together: nothing of them is taken, and the old ones serve.
    renameSync(renewed.key, old.key);
    relay.signal('SIGHUP');
    await untilStatus(
      admin,
      'it says why not',
      ({ configuration }) => configuration.reloadError?.code === 'ERR_KEY_FILE',
    );
    expect((await shown())[0]?.fingerprint256).toBe(before?.fingerprint256);
    renameSync(renewed.cert, old.cert);
    relay.signal('SIGHUP');
    await untilStatus(admin, 'it took them', ({ configuration }) => configuration.reloads === 1);
    const after = await shown();
    expect(after[0]?.fingerprint256).toBe(new X509Certificate(readFileSync(old.cert)).fingerprint256);
    expect(after[0]?.fingerprint256).not.toBe(before?.fingerprint256);
    expect(after[1]?.fingerprint256).toBe(new X509Certificate(intermediate()).fingerprint256);
    // Machines with a certificate of the intermediate before are its peers as they were.
    expect((await boot()).report).toMatchObject({ beacons: 1 });

    authority.issue({ ...RELAY, name: 'single', isOneFile: true });
    const { cert } = place.tls('single');
    place.write(
      'relay.yaml',
      readFileSync(relayFile(), 'utf8').replaceAll(/relay\.(pem|key)/g, 'single.pem'),
    );
    relay.signal('SIGHUP');
    await untilStatus(admin, 'it took that one', ({ configuration }) => configuration.reloads === 2);
    expect((await shown())[0]?.fingerprint256).toBe(new X509Certificate(leafIn(cert)).fingerprint256);
    expect((await statusOf(admin))?.configuration.reloadError).toBeUndefined();
  });
});

needs('openssl')('a fleet with RSA certificates of another CA', () => {
  beforeEach(() => newFleet('RSA', 'RSA'));
  afterEach(() => place.remove());

  it('hands beacons on all the same', async () => {
    await startNodes();
    const { code, report } = await boot();
    expect(code).toBe(0);
    expect(report).toMatchObject({ seeded: true, beacons: 1 });
    expect((await shown()).map(({ publicKey }) => publicKey.asymmetricKeyType)).toEqual(['rsa', 'rsa']);
  });
});

const serialOf = (name: string) => new X509Certificate(readFileSync(place.tls(name).cert)).serialNumber;

const intermediate = () => readFileSync(place.path('certificates', 'intermediate.pem'));

/** The first certificate of a file that holds a key too. */
function leafIn(file: string): string {
  const text = readFileSync(file, 'utf8');
  return text.slice(text.indexOf('-----BEGIN CERTIFICATE-----'));
}
