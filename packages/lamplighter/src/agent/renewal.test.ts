import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ground, IssuingFolder } from '../identity/issued.fixture.js';
import { testAuthority } from '../identity/made-certificates.fixture.js';
import { rotate } from '../identity/rotation.js';
import { loadTlsFiles, type TlsPaths } from '../identity/tls-files.js';
import { type FixedEnvironment, fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { fixedProcess, notingNative } from '../local/fixed-process.fixture.js';
import { systemNative } from '../local/native-doors.js';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import type { Exchange } from '../wire/listener.js';
import { OutgoingConnections } from '../wire/outgoing.js';
import { caught } from '../wire/raw-peer.fixture.js';
import { issuing, type RenewingRelay, renewingRelay } from '../wire/renewing-relay.fixture.js';
import { Agent } from './agent.js';
import type { BootReport } from './boot.js';
import { type AgentConfig, agentConfig } from './config.js';
import { renewIfDue, type RenewalOptions, type RenewalReport } from './renewal.js';

const HOUR_MS = 3_600_000;
const LIFE_MS = 24 * HOUR_MS;
const PATIENT = { timeout: 10_000 };
/** Past two thirds. */
const DUE_MS = 16.25 * HOUR_MS;

let place: string;
let ca: IssuingFolder;
beforeAll(async () => {
  place = await ground();
  ca = await IssuingFolder.make(place);
});

let count = 0;
let paths: TlsPaths;
beforeEach(async () => {
  count += 1;
  paths = await ca.files('machine', `web-${count}`, LIFE_MS);
});

const open: RenewingRelay[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ listener }) => listener.stop(0)));
});

type Renewal = (exchange: Exchange) => Promise<void>;

async function relay(renewal?: Renewal, by = ca): Promise<RenewingRelay> {
  const made = await renewingRelay(by, renewal);
  open.push(made);
  return made;
}

const refusing =
  (...reason: ConstructorParameters<typeof LamplighterError>): Renewal =>
  async () => {
    throw new LamplighterError(...reason);
  };
const silent: Renewal = () => new Promise(() => undefined);
const url = ({ port }: RenewingRelay): string => `https://127.0.0.1:${port}`;

function configured(relays: readonly RenewingRelay[], rest: object = {}): AgentConfig {
  return agentConfig.parse({
    tls: paths,
    relays: relays.map((one, at) => ({ name: `relay-${at + 1}`, url: url(one) })),
    state: join(place, `state-${count}`),
    report: join(place, `report-${count}.json`),
    ...rest,
  });
}

/** A fixed machine whose clock is so far ahead of ours. */
function machine(aheadMs: number) {
  const fixed = fixedEnvironment();
  const aheadNs = BigInt(Date.now() + aheadMs) * 1_000_000n - fixed.realtimeNs();
  const environment: FixedEnvironment = { ...fixed, realtimeNs: () => fixed.realtimeNs() + aheadNs };
  const process = fixedProcess(environment);
  const notes: { call: string; bytes: string }[] = [];
  return { environment, process, notes, native: notingNative(notes) };
}

/** Renews once, on a machine on which so much time has passed. */
async function renewed(
  config: AgentConfig,
  { aheadMs = DUE_MS, ...options }: Partial<RenewalOptions> & { aheadMs?: number } = {},
) {
  const { environment, native, process, notes } = machine(aheadMs);
  const keeper = new SeedKeeper(config.state, { environment, native, process });
  await keeper.open();
  notes.length = 0;
  const outgoing = new OutgoingConnections(
    environment,
    () => void notes.push({ call: 'connect', bytes: '' }),
  );
  const report = await renewIfDue(
    config,
    { environment, keeper, outgoing },
    { signal: new AbortController().signal, ...options },
  );
  return { ...report, did: notes.map(({ call }) => call) };
}

const serialOnDisk = async (): Promise<string> => (await loadTlsFiles(paths)).identity.serial;

describe('a machine’s certificate', () => {
  it('is not asked for before it is due', async () => {
    const one = await relay(issuing(ca, 2 * LIFE_MS));
    const before = await serialOnDisk();
    expect(await renewed(configured([one]), { aheadMs: 14.5 * HOUR_MS })).toMatchObject({ renewed: false });
    expect(one.asked).toEqual([]);
    expect(await serialOnDisk()).toBe(before);
  });

  it.skipIf(!systemNative.available().supported)(
    'is renewed when it is due, over a connection with a hedge of its own, and lies in its files',
    async () => {
      const one = await relay(issuing(ca, 2 * LIFE_MS));
      const before = await serialOnDisk();
      const report = await renewed(configured([one]));
      expect(report).toMatchObject({ renewed: true, by: 'relay-1', role: 'machine', name: `web-${count}` });
      expect(report.did).toEqual(['reseedOpenssl', 'connect']);
      const { identity, notAfter } = await loadTlsFiles(paths);
      expect(identity.serial).not.toBe(before);
      expect(report.notAfter).toBe(notAfter.toISOString());
      expect(Date.parse(report.renewsAt ?? '')).toBeGreaterThan(Date.now() + LIFE_MS);
    },
  );

  it('is asked for now when somebody says so', async () => {
    const one = await relay(issuing(ca, 2 * LIFE_MS));
    expect(await renewed(configured([one]), { aheadMs: 0, force: true })).toMatchObject({ renewed: true });
  });

  it('is asked of each relay in turn, past those that are no CA', async () => {
    const [none, other, gone] = [await relay(), await relay(), await relay()];
    const last = await relay(issuing(ca, 2 * LIFE_MS));
    await gone.listener.stop(0);
    expect(await renewed(configured([none, gone, other, last]))).toMatchObject({
      renewed: true,
      by: 'relay-4',
    });
  });

  it('is asked of the authority alone where one is configured', async () => {
    const [one, authority] = [await relay(issuing(ca, 2 * LIFE_MS)), await relay(issuing(ca, 2 * LIFE_MS))];
    const config = configured([one], { authority: { url: url(authority), peer: 'relay' } });
    expect(await renewed(config)).toMatchObject({ renewed: true, by: `127.0.0.1:${authority.port}` });
    expect(one.asked).toEqual([]);
    const another = configured([one], { authority: { url: url(authority), peer: 'somebody' } });
    expect(await renewed(another, { force: true, aheadMs: 0 })).toMatchObject({
      renewed: false,
      reason: { code: 'ERR_UPSTREAM_NAME' },
    });
  });

  it('that nobody renews is a reason that says what to do', async () => {
    expect(await renewed(configured([await relay(), await relay()]))).toMatchObject({
      renewed: false,
      reason: { code: 'ERR_RENEWAL', hint: expect.stringContaining('authority: { url: … }') as string },
    });
  });

  it('by another CA is left to others, unless an authority is named', async () => {
    const one = await relay(issuing(ca, 2 * LIFE_MS));
    const listed = await readFile(paths.ca, 'utf8');
    await writeFile(paths.ca, listed.replace(/^#.*\n/, ''));
    const report = await renewed(configured([one]));
    expect(report.renewed).toBe(false);
    expect(report).not.toHaveProperty('renewsAt');
    expect(one.asked).toEqual([]);
    expect(await renewed(configured([one], { authority: { url: url(one) } }))).toMatchObject({
      renewed: true,
    });
  });

  it('is renewed at once when its CA has gone over to another root', async () => {
    const rotating = await IssuingFolder.make(place, `rotating-${count}`);
    paths = await rotating.files('machine', `web-${count}`, LIFE_MS);
    const one = await relay(issuing(rotating, 2 * LIFE_MS), rotating);
    await rotate(rotating.folder, 'begin', { force: true });
    expect(await renewed(configured([one]), { aheadMs: 0, force: true })).toMatchObject({ renewed: true });
    await rotate(rotating.folder, 'switch', { force: true });
    // Somebody has put the new list there before the agent has renewed.
    await copyFile(join(rotating.folder, 'ca.pem'), paths.ca);
    expect(await renewed(configured([one]), { aheadMs: 0 })).toMatchObject({ renewed: true });
    expect(await renewed(configured([one]), { aheadMs: 0 })).toMatchObject({ renewed: false });
  });
});

describe('a renewal that fails', () => {
  it('because we were revoked asks nobody else', async () => {
    const [one, other] = [await relay(refusing('ERR_REVOKED', 'revoked')), await relay(issuing(ca, LIFE_MS))];
    expect(await renewed(configured([one, other]))).toMatchObject({ reason: { code: 'ERR_REVOKED' } });
    expect(other.asked).toEqual([]);
  });

  it('because it was asked for too often says when to come back', async () => {
    const one = await relay(refusing('ERR_QUOTA', 'too often', { retryAfterMs: 60_000 }));
    expect(await renewed(configured([one]))).toMatchObject({
      reason: { code: 'ERR_UPSTREAM_STATUS' },
      retryAfterMs: 60_000,
    });
  });

  it('because one never answers leaves time for the others, and ends by its deadline', async () => {
    const [hung, last] = [await relay(silent), await relay(issuing(ca, 2 * LIFE_MS))];
    expect(await renewed(configured([hung, last]), { deadlineMs: 2_000 })).toMatchObject({ by: 'relay-2' });
    const startedMs = performance.now();
    expect(await renewed(configured([hung]), { deadlineMs: 300, force: true })).toMatchObject({
      reason: { code: 'ERR_DEADLINE' },
    });
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });

  it('because the answer is for somebody else, or cannot be written, changes nothing', async () => {
    const before = await serialOnDisk();
    const liar: Renewal = (exchange) => {
      Object.defineProperty(exchange, 'peer', { value: { ...exchange.peer, name: 'somebody' } });
      return issuing(ca, 2 * LIFE_MS)(exchange);
    };
    expect(await renewed(configured([await relay(liar)]))).toMatchObject({
      reason: { code: 'ERR_CERTIFICATE_ANSWER' },
    });
    await mkdir(`${paths.key}.next`);
    expect(await renewed(configured([await relay(issuing(ca, 2 * LIFE_MS))]))).toMatchObject({
      reason: { code: 'ERR_OUTPUT_FILE' },
    });
    expect(await serialOnDisk()).toBe(before);
  });

  it('because the hedge that was demanded is off connects to nobody', async () => {
    const one = await relay(issuing(ca, 2 * LIFE_MS));
    const config = configured([one]);
    const { environment, native, process } = machine(DUE_MS);
    const keeper = new SeedKeeper(join(place, 'nowhere', 'no-seed'), { environment, native, process });
    const outgoing = new OutgoingConnections(environment, () => undefined);
    const report = await renewIfDue(
      config,
      { environment, keeper, outgoing },
      { signal: new AbortController().signal, requireHedge: true },
    );
    expect(report).toMatchObject({ renewed: false, reason: { code: 'ERR_SEED_MISSING' } });
    expect(one.listener.connections + one.asked.length).toBe(0);
  });

  it('because it has expired says that this machine has to enrol again', async () => {
    const authority = await testAuthority();
    const { cert, key } = await authority.make({
      role: 'machine',
      name: 'late',
      notAfter: new Date(Date.now() - 1_000),
    });
    await writeFile(paths.ca, authority.pem);
    await writeFile(paths.cert, cert);
    await writeFile(paths.key, key);
    expect(await caught(renewed(configured([await relay()])))).toMatchObject({
      code: 'ERR_RENEWAL',
      hint: expect.stringContaining('lamplighter enroll') as string,
    });
  });
});

describe('an agent that stays', () => {
  /** @param aheadMs - how old its certificate is when it starts */
  function staying(config: AgentConfig, aheadMs: number) {
    const { environment, native, process } = machine(aheadMs);
    const reports: BootReport[] = [];
    const renewals: RenewalReport[] = [];
    const faults: unknown[] = [];
    const agent = new Agent(config, {
      environment,
      process,
      native,
      keeper: new SeedKeeper(config.state, { environment, native, process }),
      requireHedge: false,
      onReport: (report) => reports.push(report),
      onRenewal: (report) => renewals.push(report),
      onFault: (error) => faults.push(error),
      onResume: () => undefined,
    });
    return { agent, environment, reports, renewals, faults };
  }
  const written = async ({ report }: AgentConfig): Promise<unknown> =>
    JSON.parse(await readFile(report, 'utf8'));

  it('renews after its boot, tells of it, and uses the new certificate at the next refresh', async () => {
    const serials: string[] = [];
    const one = await relay(issuing(ca, 2 * LIFE_MS));
    const config = configured([one], { refreshMs: 600_000 });
    const { agent, environment, reports, renewals, faults } = staying(config, DUE_MS);
    serials.push(await serialOnDisk());
    await agent.start();
    await expect.poll(() => renewals.length, PATIENT).toBe(1);
    expect(one.asked).toEqual(['/v1/beacon', '/v1/renew']);
    expect(await written(config)).toMatchObject({ last: { beacons: 1 }, renewal: { renewed: true } });
    expect(await serialOnDisk()).not.toBe(serials[0]);
    environment.advance(800_000);
    await expect.poll(() => reports.length, PATIENT).toBe(2);
    expect(reports[1]).toMatchObject({ beacons: 1 });
    await agent.stop();
    expect(faults).toEqual([]);
  });

  it('renews by a timer of its own when that is sooner than its next refresh', async () => {
    paths = await ca.files('machine', `web-${count}`, 60_000);
    const one = await relay(issuing(ca, 60_000));
    const config = configured([one], { refreshMs: 600_000 });
    const { agent, environment, reports, renewals } = staying(config, 0);
    await agent.start();
    await new Promise((resolve) => setImmediate(resolve));
    expect(one.asked).toEqual(['/v1/beacon']);
    await expect
      .poll(
        () => {
          if (renewals.length === 0) environment.advance(1_000);
          return renewals.length;
        },
        { timeout: 15_000, interval: 20 },
      )
      .toBe(1);
    expect(renewals[0]).toMatchObject({ renewed: true });
    expect(reports).toHaveLength(1);
    await agent.stop();
  });

  it('is not held up by an authority that never answers, neither in a refresh nor when it stops', async () => {
    const hung = await relay(silent);
    const one = await relay();
    const config = configured([one], { refreshMs: 10_000, authority: { url: url(hung) } });
    const { agent, environment, reports, renewals } = staying(config, DUE_MS);
    await agent.start();
    await expect.poll(() => hung.asked.length, PATIENT).toBe(1);
    for (let refreshes = 2; refreshes <= 4; refreshes += 1) {
      environment.advance(13_000);
      await expect.poll(() => reports.length, PATIENT).toBe(refreshes);
    }
    expect(renewals).toEqual([]);
    const startedMs = performance.now();
    await agent.stop();
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });

  it('says why it could not renew, in its report too, and tries again with a back-off', async () => {
    const one = await relay();
    const config = configured([one], { refreshMs: 3_600_000 });
    const { agent, environment, renewals } = staying(config, DUE_MS);
    await agent.start();
    await expect.poll(() => renewals.length, PATIENT).toBe(1);
    expect(await written(config)).toMatchObject({
      renewal: { renewed: false, reason: { code: 'ERR_RENEWAL' } },
    });
    for (let times = 2; times <= 4; times += 1) {
      environment.advance(2 * HOUR_MS);
      await expect.poll(() => renewals.length, PATIENT).toBeGreaterThanOrEqual(times);
    }
    await agent.stop();
  });

  it('asks for nothing while its clock cannot be right', async () => {
    const one = await relay(issuing(ca, 2 * LIFE_MS));
    const config = configured([one], { refreshMs: 600_000 });
    const { agent, renewals } = staying(config, -1_000 * LIFE_MS);
    expect(await agent.start()).toMatchObject({ clock: { code: 'ERR_CLOCK' } });
    await new Promise((resolve) => setImmediate(resolve));
    expect(one.asked).toEqual([]);
    await agent.stop();
    expect(renewals).toEqual([]);
  });
});
