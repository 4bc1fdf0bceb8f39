import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type TestAuthority, testAuthority } from '../identity/made-certificates.fixture.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { testNode } from '../outlets/context.fixture.js';
import { pollenOutlet } from '../outlets/pollen/pollen.js';
import { NO_BASIS } from '../wire/basis.js';
import {
  type PollenScript,
  response,
  rightAnswer,
  type ScriptedPollen,
  scriptedPollen,
} from '../wire/pollen-server.fixture.js';
import { pollenSource, type PollenSourceOptions } from './pollen.js';
import { WITHIN } from '../within.fixture.js';
import { describeSourceCompliance } from './source.compliance.js';
import type { Source } from './source.js';

const environment = systemEnvironment();
const soon = AbortSignal.timeout.bind(AbortSignal, 8_000);

let authority: TestAuthority;
let folder: string;
let ca: string;
const servers: ScriptedPollen[] = [];
const sources: Source[] = [];

beforeEach(async () => {
  authority = await testAuthority();
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-pollen-'));
  ca = join(folder, 'ca.pem');
  await writeFile(ca, authority.pem);
});

afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.stop()));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  await rm(folder, { recursive: true });
});

async function serve(script: PollenScript, secure = true): Promise<ScriptedPollen> {
  const server = await scriptedPollen(script, secure ? { tls: await authority.make() } : {});
  servers.push(server);
  return server;
}

function newSource(options: PollenSourceOptions, with_: Environment = environment): Source {
  const source = pollenSource(options, with_);
  sources.push(source);
  return source;
}

describeSourceCompliance('pollen', async () => {
  const material = await authority.material({ role: 'relay', name: 'relay' });
  const https = { host: '127.0.0.1', port: 0 };
  const outlet = pollenOutlet({ name: 'pollen', https, perMinute: 1_000, environment, tls: () => material });
  const node = testNode();
  node.seed();
  await outlet.start(node.context, new AbortController().signal);
  const port = String(outlet.status().details['https']).split(':').at(-1);
  return {
    source: pollenSource({ url: `https://localhost:${port}/`, ca }, environment),
    cleanUp: () => outlet.stop(0),
  };
});

describe('what a pollen server gives', () => {
  it('earns nothing, however it came', async () => {
    const secure = await serve((challenge, socket) => socket.end(response(200, rightAnswer(challenge))));
    const clear = await serve(
      (challenge, socket) => socket.end(response(200, rightAnswer(challenge))),
      false,
    );
    const known = newSource({ url: `https://localhost:${secure.port}/`, ca });
    const open = newSource({ url: `http://127.0.0.1:${clear.port}/` });
    expect(await known.sample(soon())).toHaveLength(64);
    expect(await open.sample(soon())).toHaveLength(64);
    expect(known.status()).toMatchObject({
      state: 'ok',
      basis: NO_BASIS,
      details: { answers: 1, secrecy: 'pinned', protocol: 'TLSv1.3' },
    });
    expect(open.status()).toMatchObject({ state: 'ok', basis: NO_BASIS, details: { secrecy: 'public' } });
  });

  it('is mixed but called stuck when it is what it gave before, or a constant', async () => {
    const one = '5a01'.repeat(32);
    const constant = await serve((challenge, socket) =>
      socket.end(response(200, rightAnswer(challenge, '00'.repeat(64)))),
    );
    const same = '0123456789abcdef'.repeat(2) + '5a'.repeat(7) + one.slice(46);
    const again = await serve((challenge, socket) =>
      socket.end(response(200, rightAnswer(challenge, differing(same)))),
    );
    const zeros = newSource({ url: `https://localhost:${constant.port}/`, ca });
    expect(await zeros.sample(soon())).toEqual(new Uint8Array(64));
    expect(zeros.status()).toMatchObject({ state: 'degraded', reason: { code: 'ERR_SOURCE_STUCK' } });
    const repeats = newSource({ url: `https://localhost:${again.port}/`, ca });
    expect(await repeats.sample(soon())).toHaveLength(64);
    expect(repeats.status().state).toBe('ok');
    expect(await repeats.sample(soon())).toHaveLength(64);
    expect(repeats.status()).toMatchObject({ state: 'degraded', reason: { code: 'ERR_SOURCE_STUCK' } });
  });

  it('is nothing when the server is not the one that was named, and the reason says so', async () => {
    const server = await serve((challenge, socket) => socket.end(response(200, rightAnswer(challenge))));
    await writeFile(ca, (await testAuthority()).pem);
    const source = newSource({ url: `https://localhost:${server.port}/`, ca });
    expect(await source.sample(soon())).toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'failed',
      reason: { code: 'ERR_UPSTREAM_CERTIFICATE' },
      details: { failures: 1 },
    });
    // The file is read anew: it may have been replaced meanwhile.
    await writeFile(ca, authority.pem);
    expect(await source.sample(soon())).toHaveLength(64);
    await rm(ca);
    expect(await source.sample(soon())).toBeUndefined();
    expect(source.status().reason?.code).toBe('ERR_CERTIFICATE_FILE');
  });

  it('comes again after a failure, and not before its time', async () => {
    let asked = 0;
    const server = await serve((challenge, socket) => {
      asked += 1;
      socket.end(
        asked === 1 ? response(503, '', 'Retry-After: 7\r\n') : response(200, rightAnswer(challenge)),
      );
    });
    const waits: { forMs: number; told: unknown }[] = [];
    const hurried: Environment = {
      ...environment,
      timers: {
        ...environment.timers,
        sleep: (forMs, signal) => {
          waits.push({ forMs, told: source.status().details['retryAfterMs'] });
          return environment.timers.sleep(waits.length === 1 ? 0 : forMs, signal);
        },
      },
    };
    const source = newSource({ url: `https://localhost:${server.port}/`, ca, periodMs: 3_600_000 }, hurried);
    const heard: number[] = [];
    await source.start({ hear: (bytes) => heard.push(bytes.length) }, new AbortController().signal);
    await vi.waitFor(() => expect(heard).toEqual([64]), WITHIN);
    expect(waits[0]?.told).toBe(7_000);
    expect(waits[0]?.forMs).toBeGreaterThanOrEqual(7_000);
    expect(source.status()).toMatchObject({ state: 'ok', details: { answers: 1, failures: 1 } });
    expect(asked).toBe(2);
  });

  it('is hedged before each TLS connection, and before none in the clear', async () => {
    const prepare = vi.fn(() => Promise.resolve());
    const script: PollenScript = (challenge, socket) => socket.end(response(200, rightAnswer(challenge)));
    const [secure, clear] = [await serve(script), await serve(script, false)];
    const known = newSource({ url: `https://localhost:${secure.port}/`, ca, prepare });
    await known.sample(soon());
    await known.sample(soon());
    expect(prepare).toHaveBeenCalledTimes(2);
    await newSource({ url: `http://127.0.0.1:${clear.port}/`, prepare }).sample(soon());
    expect(prepare).toHaveBeenCalledTimes(2);
  });
});

/** 64 bytes as hex in which no block of 16 is another. */
function differing(seed: string): string {
  return Array.from({ length: 4 }, (_, block) => `${block}${seed.slice(1, 32)}`).join('');
}
