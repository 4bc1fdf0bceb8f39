import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { needs } from '../needs.fixture.js';
import { systemEnvironment } from '../local/environment.js';
import { describeSourceCompliance } from './source.compliance.js';
import { tpmSource } from './tpm.js';

const NEVER = new AbortController().signal;

/** A software TPM on loopback. */
interface SoftwareTpm {
  readonly tcti: string;
  readonly process: ChildProcess;
  readonly end: () => Promise<void>;
}

/** The TCTI wants the control port right behind the data port: two neighbours that are free now, else other ones. */
async function startTpm(): Promise<SoftwareTpm> {
  for (;;) {
    const port = await freePort();
    const folder = await mkdtemp(path.join(tmpdir(), 'swtpm-'));
    const options = ['--tpm2', '--flags', 'not-need-init,startup-clear', '--tpmstate', `dir=${folder}`];
    const server = `type=tcp,bindaddr=127.0.0.1,port=${port}`;
    const control = `type=tcp,bindaddr=127.0.0.1,port=${port + 1}`;
    const tpm = spawn('swtpm', ['socket', ...options, '--server', server, '--ctrl', control], {
      stdio: 'ignore',
    });
    const end = async (): Promise<void> => {
      if (tpm.exitCode === null && tpm.signalCode === null) {
        const over = once(tpm, 'exit');
        tpm.kill('SIGKILL');
        await over;
      }
      await rm(folder, { recursive: true, force: true });
    };
    if (await listens(port + 1, tpm)) return { tcti: `swtpm:host=127.0.0.1,port=${port}`, process: tpm, end };
    await end();
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string' || address.port === 65_535) return freePort();
  return address.port;
}

/** Whether it comes to listen before it gives up. */
async function listens(port: number, tpm: ChildProcess): Promise<boolean> {
  while (tpm.exitCode === null) {
    const socket = net.connect(port, '127.0.0.1');
    const isOpen = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (isOpen) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

needs('swtpm', 'tpm2_getrandom')('tpm, with a software TPM', () => {
  describeSourceCompliance('tpm', async () => {
    const tpm = await startTpm();
    return {
      source: tpmSource({ tcti: tpm.tcti, periodMs: 50 }, systemEnvironment()),
      cleanUp: () => tpm.end(),
    };
  });

  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });

  it('is 32 bytes an answer, and a TPM that goes away is named', async () => {
    const tpm = await startTpm();
    ends.push(tpm.end);
    const { tcti } = tpm;
    const source = tpmSource({ tcti }, systemEnvironment());
    expect(await source.sample(NEVER)).toHaveLength(32);
    expect(source.status()).toMatchObject({ state: 'ok', details: { answers: 1, tcti } });
    await tpm.end();
    expect(await source.sample(NEVER)).toBeUndefined();
    const { state, reason } = source.status();
    expect(state).toBe('failed');
    expect(reason?.code).toBe('ERR_CHILD_EXITED');
    expect(reason?.message).toContain('Could not load tcti');
  });

  it('a TPM that does not answer costs the deadline', async () => {
    const tpm = await startTpm();
    ends.push(tpm.end);
    tpm.process.kill('SIGSTOP');
    const source = tpmSource({ tcti: tpm.tcti, deadlineMs: 300 }, systemEnvironment());
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({ state: 'failed', reason: { code: 'ERR_DEADLINE' } });
    tpm.process.kill('SIGCONT');
    await vi.waitFor(async () => expect(await source.sample(NEVER)).toHaveLength(32), 10_000);
    expect(source.status().state).toBe('ok');
  });
});

describe('tpm', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('a machine without one is absent: no fault', async () => {
    const source = tpmSource({ tcti: 'device:/dev/no-such-tpm' }, systemEnvironment());
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'absent',
      reason: { code: 'ERR_SOURCE_ABSENT', message: 'there is no /dev/no-such-tpm' },
    });
  });

  it('a machine without the tool is absent, and says what to install', async () => {
    vi.stubEnv('PATH', '/nowhere');
    const source = tpmSource({ tcti: 'device:/dev/null' }, systemEnvironment());
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'absent',
      reason: { code: 'ERR_SOURCE_ABSENT', hint: 'apt-get install tpm2-tools' },
    });
  });

  it.each(['', 'with space', 'new\nline', 'x'.repeat(201)])('refuses the TCTI %j', (tcti) => {
    expect(() => tpmSource({ tcti }, systemEnvironment())).toThrow(RangeError);
  });
});
