import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BootReport } from '../packages/lamplighter/dist/agent/boot.js';
import { recoverIdentity } from '../packages/lamplighter/dist/identity/identity-files.js';
import { loadTlsFiles } from '../packages/lamplighter/dist/identity/tls-files.js';
import { Place } from './place.fixture.js';
import { Command, endAll, eventually, freePorts, run, untilStatus } from './processes.fixture.js';

const inDist = (file: string): string =>
  new URL(`../packages/lamplighter/dist/${file}`, import.meta.url).href;

/** Two thirds of it are 13 s, counted from its making: `notBefore` is five minutes earlier. */
const SHORT_LIFE = '20s';

let place: Place;
beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
afterEach(endAll);

/** Certificates that live for a while, in a folder of their own. */
async function issue(folder: string, role: string, name: string, life: string): Promise<void> {
  const address = role === 'relay' ? ['--ip', '127.0.0.1'] : [];
  const who = ['--role', role, '--name', name, ...address, '--life', life];
  const out = ['--ca', place.path('ca'), '--out', place.path(folder), '--replace'];
  const { code, stderr } = await run(['ca', 'issue', ...who, ...out]);
  if (code !== 0) throw new Error(stderr);
}

/** A relay that has the CA's folder and issues certificates of this life. */
async function authority(folder: string, name: string, life: string) {
  const ports = await freePorts('listen', 'admin');
  const file = place.write(`${name}.yaml`, {
    name,
    state: `state/${name}`,
    tls: place.tls(name, folder),
    listen: { host: '127.0.0.1', port: ports.listen },
    admin: { port: ports.admin },
    authority: { folder: place.path('ca'), life },
    sources: [{ kind: 'timing' }, { kind: 'os' }],
    outlets: [{ kind: 'beacon' }],
  });
  const node = new Command(['node', '--config', file]);
  await untilStatus(ports.admin, `${name} is ready`, ({ state }) => state === 'ready');
  return { node, port: ports.listen, admin: ports.admin };
}

const certificateOf = (folder: string, name: string): X509Certificate =>
  new X509Certificate(readFileSync(place.tls(name, folder).cert));

const reports = ({ stdout }: { stdout: string }): BootReport[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as BootReport);

describe('certificates that live for 20 s', () => {
  it('are renewed by the node that is the CA and by an agent, and both go on past their first ends', async () => {
    await issue('short', 'relay', 'short-relay', SHORT_LIFE);
    const relay = await authority('short', 'short-relay', SHORT_LIFE);
    await issue('short', 'machine', 'short-machine', SHORT_LIFE);
    const first = ['short-relay', 'short-machine'].map((name) => certificateOf('short', name));
    const config = place.writeAgent([relay.port], {
      tls: place.tls('short-machine', 'short'),
      state: 'state/short-machine',
      report: 'run/short-machine.json',
      refreshMs: 2_000,
    });
    const agent = new Command(['agent', '--json', '--config', config]);
    const ends = Math.max(...first.map(({ validTo }) => Date.parse(validTo)));
    await eventually('the first certificates have ended', () => Date.now() > ends + 1_000, 60_000);
    const before = reports(agent).length;
    const after = await eventually('refreshes after that', () => {
      const all = reports(agent);
      return all.length >= before + 2 && all;
    });
    // With a certificate that had ended the relay would let nobody in, and nobody would ask it.
    expect(after.slice(-2).map(({ beacons }) => beacons)).toEqual([1, 1]);
    expect(after.filter(({ beacons }) => beacons === 0)).toEqual([]);
    for (const [at, name] of ['short-relay', 'short-machine'].entries()) {
      const now = certificateOf('short', name);
      expect(now.serialNumber).not.toBe(first[at]?.serialNumber);
      expect(now.subjectAltName).toBe(first[at]?.subjectAltName);
    }
    expect(agent.stderr).toContain('the certificate of machine short-machine was renewed by relay-1');
    expect(agent.stderr).not.toContain('WARNING: the certificate');
    expect(relay.node.isRunning && agent.isRunning).toBe(true);
    const { stdout } = await run(['ca', 'list', place.path('ca'), '--all', '--json']);
    expect(stdout).toContain('"renew"');
    expect(await agent.stop()).toMatchObject({ code: 0 });
  });
});

describe('a node whose certificate ended while it was off', () => {
  it('renews it before it serves when it is the CA; another says that it cannot', async () => {
    await issue('off', 'relay', 'off-relay', '1s');
    const ended = certificateOf('off', 'off-relay');
    await eventually('it has ended', () => Date.now() > Date.parse(ended.validTo));
    const relay = await authority('off', 'off-relay', '1d');
    const renewed = certificateOf('off', 'off-relay');
    expect(renewed.serialNumber).not.toBe(ended.serialNumber);
    expect(renewed.subjectAltName).toBe(ended.subjectAltName);
    await relay.node.stop();

    await issue('off', 'relay', 'other-relay', '1s');
    const other = certificateOf('off', 'other-relay');
    await eventually('it has ended', () => Date.now() > Date.parse(other.validTo));
    const file = place.write('other-relay.yaml', {
      name: 'other-relay',
      state: 'state/other-relay',
      tls: place.tls('other-relay', 'off'),
      admin: { port: 0 },
      sources: [{ kind: 'os' }],
    });
    const { code, stderr } = await run(['node', '--config', file]);
    expect({ code, stderr }).toEqual({
      code: 78,
      stderr: expect.stringContaining('[ERR_CERTIFICATE_EXPIRED]') as string,
    });
  });
});

describe('an agent that seeds once', () => {
  it('renews after its boot when it is time, and only then; its exit code stays', async () => {
    const relay = await authority('certificates', 'relay', '30d');
    await issue('once', 'machine', 'once', '12s');
    const issuedMs = Date.now();
    const config = place.writeAgent([relay.port], {
      tls: place.tls('once', 'once'),
      state: 'state/once',
      report: 'run/once.json',
    });
    const report = (): unknown => JSON.parse(readFileSync(place.path('run/once.json'), 'utf8'));
    await eventually('two thirds have passed', () => Date.now() > issuedMs + 8_000);
    const due = await run(['agent', '--once', '--json', '--config', config]);
    expect(due).toMatchObject({ code: 0 });
    expect(reports(due)).toHaveLength(1);
    expect(due.stderr).toContain('the certificate of machine once was renewed by relay-1');
    expect(report()).toMatchObject({ last: { beacons: 1 }, renewal: { renewed: true, by: 'relay-1' } });
    const { serialNumber } = certificateOf('once', 'once');

    const fresh = await run(['agent', '--once', '--json', '--config', config]);
    expect(fresh).toMatchObject({ code: 0, stderr: '' });
    expect(report()).not.toHaveProperty('renewal');
    expect(certificateOf('once', 'once').serialNumber).toBe(serialNumber);

    const told = await run(['agent', 'renew', '--config', config]);
    expect(told).toMatchObject({ code: 0, stderr: '' });
    expect(told.stdout).toMatch(/^machine once: renewed by relay-1, ends on .*, due again on /);
    expect(certificateOf('once', 'once').serialNumber).not.toBe(serialNumber);
  });

  it('that cannot renew says so, and its boot is as good as any', async () => {
    const ports = await freePorts('listen', 'admin');
    const file = place.writeNode({
      name: 'relay',
      ...ports,
      sources: [{ kind: 'timing' }, { kind: 'os' }],
      outlets: [{ kind: 'beacon' }],
    });
    const node = new Command(['node', '--config', file]);
    await untilStatus(ports.admin, 'the relay is ready', ({ state }) => state === 'ready');
    await issue('alone', 'machine', 'alone', '18s');
    const issuedMs = Date.now();
    const config = place.writeAgent([ports.listen], {
      tls: place.tls('alone', 'alone'),
      state: 'state/alone',
      report: 'run/alone.json',
    });
    await eventually('two thirds have passed', () => Date.now() > issuedMs + 12_000);
    const once = await run(['agent', '--once', '--config', config]);
    expect(once.code).toBe(0);
    expect(once.stderr).toContain('was not renewed: none of the relays renews certificates [ERR_RENEWAL]');
    const told = await run(['agent', 'renew', '--config', config]);
    expect(told.code).toBe(1);
    expect(told.stderr).toContain('[ERR_RENEWAL]');
    await eventually('it has ended', () => Date.now() > issuedMs + 19_000);
    const late = await run(['agent', 'renew', '--config', config]);
    expect(late.code).toBe(1);
    expect(late.stderr).toContain('lamplighter enroll');
    await node.stop();
  });

  it('loads nothing for a renewal that is not due, and no X.509 library for one that is', async () => {
    const relay = await authority('certificates', 'relay', '30d');
    const hook = `import { register } from 'node:module'; register(${JSON.stringify(inDist('local/loaded-modules.fixture.js'))});`;
    const config = place.writeAgent([relay.port], { state: 'state/loads', report: 'run/loads.json' });
    // Not the bundle: its parts have no names.
    const loaded = async (...more: string[]): Promise<string[]> => {
      const front = fileURLToPath(inDist('cli/agent-main.js'));
      const args = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, front, 'agent', ...more];
      const child = spawn(process.execPath, [...args, '--config', config], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      expect(await once(child, 'close')).toEqual([0, null]);
      return text.split('\n').filter((line) => line.startsWith('file:'));
    };
    const x509 = /peculiar|reflect-metadata|pkijs|asn1/;
    const boot = await loaded('--once');
    expect(boot.length).toBeGreaterThan(20);
    expect(boot.filter((url) => x509.test(url) || /wire\/renew\.js|identity\/csr\.js/.test(url))).toEqual([]);
    // Through the other front door, which knows subcommands.
    const renewal = await loaded('renew');
    expect(renewal.some((url) => url.endsWith('wire/renew.js'))).toBe(true);
    expect(renewal.filter((url) => x509.test(url))).toEqual([]);
  });
});

describe('a process that is killed while it replaces an identity', () => {
  const ROUNDS = 12;

  it.each(['one file', 'two files'])('leaves the old one or the new, whole, in %s', async (form) => {
    const folder = form.replace(' ', '-');
    await place.issue('machine', 'one', `${folder}-1`);
    await place.issue('machine', 'two', `${folder}-2`);
    mkdirSync(place.path(folder));
    const at = (file: string): string => place.path(folder, file);
    const key = form === 'one file' ? at('identity.pem') : at('web.key');
    const cert = form === 'one file' ? key : at('web.pem');
    const paths = { ca: at('ca.pem'), cert, key };
    copyFileSync(place.tls('one', `${folder}-1`).ca, paths.ca);
    const sources = [place.tls('one', `${folder}-1`), place.tls('two', `${folder}-2`)];
    const script = `
      import { readFileSync } from 'node:fs';
      import { replaceIdentity } from ${JSON.stringify(inDist('identity/identity-files.js'))};
      const { paths, sources } = ${JSON.stringify({ paths, sources })};
      const identities = sources.map(({ cert, key, ca }) => ({
        keyPem: readFileSync(key), certificatePem: readFileSync(cert, 'utf8'), trust: readFileSync(ca, 'utf8'),
      }));
      await replaceIdentity(paths, identities[0]);
      process.stdout.write('ready');
      for (let turn = 1; ; turn += 1) await replaceIdentity(paths, identities[turn % 2]);
    `;
    for (let round = 0; round < ROUNDS; round += 1) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const closed = once(child, 'close');
      await once(child.stdout, 'data');
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
      child.kill('SIGKILL');
      expect(await closed).toEqual([null, 'SIGKILL']);
      await recoverIdentity(paths);
      expect((await loadTlsFiles(paths)).identity.name).toMatch(/^(one|two)$/);
    }
  });
});
