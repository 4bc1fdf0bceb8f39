import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { XenstoreConnection } from '../wire/xenstore-connection.js';
import { XENSTORE_TYPE, xenstoreFields, xenstoreWritePayload } from '../wire/xenstore.js';
import { Xenstored, needsXenstored } from '../wire/xenstored.fixture.js';
import { describeSourceCompliance } from './source.compliance.js';
import { type XenstoreSourceOptions, xenstoreSource } from './xenstore.js';

const environment = systemEnvironment();
const never = new AbortController().signal;
const NODE = 'data/lamplighter/entropy';
const SOON = { timeout: 10_000, interval: 5 };
const ends: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Xen's daemon with guest 7, whose node may be written by it. */
async function guestOnHost(): Promise<Xenstored> {
  const xenstored = await Xenstored.start();
  await xenstored.create(7);
  xenstored.client('write', `/local/domain/7/${NODE}`, '');
  xenstored.client('chmod', `/local/domain/7/${NODE}`, 'n0', 'b7');
  return xenstored;
}

async function daemon(): Promise<Xenstored> {
  const xenstored = await guestOnHost();
  ends.push(() => xenstored.stop());
  return xenstored;
}

/** A host that writes 32 fresh bytes whenever guest 7 asks. */
async function giver(xenstored: Xenstored): Promise<() => Promise<void>> {
  const give = (): void => {
    const value = Buffer.from(randomBytes(32).toString('hex'));
    const payload = xenstoreWritePayload(`/local/domain/7/${NODE}`, value);
    connection.request(XENSTORE_TYPE.write, payload, { what: 'write' }).catch(() => undefined);
  };
  const connection: XenstoreConnection = new XenstoreConnection(net.connect(xenstored.socket), {
    environment,
    deadlineMs: 5_000,
    signal: never,
    shown: 'xenstored',
    onEvent: give,
  });
  const watched = xenstoreFields(`/local/domain/7/${NODE}/request`, 'x');
  await connection.request(XENSTORE_TYPE.watch, watched, { what: 'watch' });
  return () => connection.close();
}

async function started(options: XenstoreSourceOptions, within: Environment = environment) {
  const source = xenstoreSource(options, within);
  ends.push(() => source.stop());
  const heard: Buffer[] = [];
  await source.start({ hear: (bytes) => heard.push(Buffer.from(bytes)) }, never);
  return { source, heard };
}

/** In domain 0, whose own folder is not the guest's. */
const socketOptions = (xenstored: Xenstored): XenstoreSourceOptions => ({
  address: `unix:${xenstored.socket}`,
  path: `/local/domain/7/${NODE}`,
});

needsXenstored('with Xen’s own xenstored', () => {
  describe('through its socket', () => {
    describeSourceCompliance('xenstore', async () => {
      const xenstored = await guestOnHost();
      const leave = await giver(xenstored);
      return {
        source: xenstoreSource(socketOptions(xenstored), environment),
        cleanUp: async () => {
          await leave();
          await xenstored.stop();
        },
      };
    });
  });

  describe('as a guest, through a character device', () => {
    describeSourceCompliance('xenstore', async () => {
      const xenstored = await guestOnHost();
      const leave = await giver(xenstored);
      return {
        source: xenstoreSource({ address: await xenstored.device(7) }, environment),
        cleanUp: async () => {
          await leave();
          await xenstored.stop();
        },
      };
    });
  });

  it('hears what the host writes, unasked, and overwrites it', async () => {
    const xenstored = await daemon();
    const { source, heard } = await started({ address: await xenstored.device(7) });
    await vi.waitFor(() => expect(source.status().details['asks']).toBe(1), SOON);
    const given = randomBytes(32);
    xenstored.client('write', `/local/domain/7/${NODE}`, given.toString('hex'));
    await vi.waitFor(() => expect(heard).toEqual([given]), SOON);
    await vi.waitFor(() => expect(xenstored.client('read', `/local/domain/7/${NODE}`)).toBe(''), SOON);
    expect(source.status()).toMatchObject({ state: 'ok', basis: { physical: false } });
    expect(xenstored.client('ls', '-p', `/local/domain/7/${NODE}`)).toContain('request = "1"');
  });

  it('drops and counts what is no hex, and hears the next that is', async () => {
    const xenstored = await daemon();
    const { source, heard } = await started(socketOptions(xenstored));
    for (const wrong of ['not hex', 'abc', '0x1234']) {
      xenstored.client('write', `/local/domain/7/${NODE}`, wrong);
      await vi.waitFor(() => expect(source.status().reason?.code).toBe('ERR_XENSTORE_VALUE'), SOON);
    }
    expect(heard).toEqual([]);
    xenstored.client('write', `/local/domain/7/${NODE}`, 'C0FFEE');
    await vi.waitFor(() => expect(heard).toEqual([Buffer.from('c0ffee', 'hex')]), SOON);
    expect(source.status()).toMatchObject({ state: 'ok' });
  });

  it('says that nobody gives here, and hears whoever begins to', async () => {
    const xenstored = await Xenstored.start();
    ends.push(() => xenstored.stop());
    await xenstored.create(7);
    xenstored.client('chmod', '/local/domain/7/data', 'n0', 'r7');
    const { source, heard } = await started({ address: await xenstored.device(7) });
    await vi.waitFor(() => {
      expect(source.status()).toMatchObject({ state: 'failed', reason: { code: 'ERR_XENSTORE_REFUSED' } });
    }, SOON);
    expect(await source.sample(AbortSignal.timeout(50))).toBeUndefined();
    xenstored.client('write', `/local/domain/7/${NODE}`, '');
    xenstored.client('chmod', `/local/domain/7/${NODE}`, 'n0', 'b7');
    xenstored.client('write', `/local/domain/7/${NODE}`, 'aabb');
    await vi.waitFor(() => expect(heard).toEqual([Buffer.from('aabb', 'hex')]), SOON);
    expect(source.status().state).toBe('ok');
  });

  it('says that the host has fallen silent', async () => {
    const xenstored = await daemon();
    const { source } = await started({ ...socketOptions(xenstored), periodMs: 20 });
    await vi.waitFor(() => {
      expect(source.status()).toMatchObject({ state: 'failed', reason: { code: 'ERR_DEADLINE' } });
    }, SOON);
    xenstored.client('write', `/local/domain/7/${NODE}`, 'aabb');
    await vi.waitFor(() => expect(source.status().details['answers']).toBe(1), SOON);
  });

  it('is degraded when it may read and not overwrite', async () => {
    const xenstored = await daemon();
    xenstored.client('chmod', `/local/domain/7/${NODE}`, 'n0', 'r7');
    xenstored.client('write', `/local/domain/7/${NODE}`, 'aabb');
    const { source, heard } = await started({ address: await xenstored.device(7) });
    await vi.waitFor(() => expect(heard.length).toBe(1), SOON);
    await vi.waitFor(() => expect(source.status().reason?.message).toContain('EACCES'), SOON);
  });

  it('comes back when the daemon does', async () => {
    const xenstored = await daemon();
    const { source, heard } = await started(socketOptions(xenstored));
    await vi.waitFor(() => expect(source.status().details['asks']).toBe(1), SOON);
    await xenstored.kill();
    await vi.waitFor(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_UNREACHABLE'), SOON);
    await xenstored.begin();
    xenstored.client('write', `/local/domain/7/${NODE}`, 'aabb');
    await vi.waitFor(() => expect(heard.length).toBe(1), SOON);
    expect(source.status()).toMatchObject({ state: 'ok', details: { reconnects: 1 } });
  });

  it('names a device that hangs, comes back when it is let go, and leaves no child', async () => {
    const xenstored = await daemon();
    const device = await xenstored.device(7);
    const children: number[] = [];
    const watched: Environment = {
      ...environment,
      spawn(command, args, options) {
        const child = environment.spawn(command, args, options);
        if (child.pid !== undefined) children.push(child.pid);
        return child;
      },
    };
    xenstored.signal('SIGSTOP');
    const { source, heard } = await started({ address: device, deadlineMs: 200 }, watched);
    await vi.waitFor(() => expect(source.status().reason?.code).toBe('ERR_DEADLINE'), SOON);
    xenstored.signal('SIGCONT');
    await vi.waitFor(() => expect(source.status().details['asks']).toBe(1), SOON);
    xenstored.client('write', `/local/domain/7/${NODE}`, 'aabb');
    await vi.waitFor(() => expect(heard.length).toBe(1), SOON);
    await source.stop();
    for (const pid of children) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  it('is told when a child is killed, and starts others', async () => {
    const xenstored = await daemon();
    const spawned = new EventEmitter();
    const children: number[] = [];
    const watched: Environment = {
      ...environment,
      spawn(command, args, options) {
        const child = environment.spawn(command, args, options);
        if (child.pid !== undefined) children.push(child.pid);
        spawned.emit('spawn');
        return child;
      },
    };
    const { source } = await started({ address: await xenstored.device(7) }, watched);
    await vi.waitFor(() => expect(source.status().details['asks']).toBe(1), SOON);
    process.kill(children[0] ?? 0, 'SIGKILL');
    await vi.waitFor(() => expect(source.status().details['asks']).toBeGreaterThan(1), SOON);
    expect(source.status().details['reconnects']).toBe(1);
  });
});

describe('a xenstore source', () => {
  it('is absent where there is no device', async () => {
    const { source } = await started({ address: '/nonexistent/xenbus' });
    await vi.waitFor(() => {
      expect(source.status()).toMatchObject({ state: 'absent', reason: { code: 'ERR_SOURCE_ABSENT' } });
    }, SOON);
    expect(source.status().details['failures']).toBe(0);
  });

  it.each(['/etc/hostname', '/dev/null'])('fails on %s, which is no xenbus', async (address) => {
    const { source, heard } = await started({ address, deadlineMs: 100 });
    await vi.waitFor(() => expect(source.status().state).toBe('failed'), SOON);
    expect(heard).toEqual([]);
  });

  it('keeps out of a FIFO, which would hold it until somebody came', async () => {
    const fifo = fs.mkdtempSync('/tmp/xenbus-') + '/fifo';
    ends.push(() => fs.promises.rm(fifo.replace(/\/fifo$/, ''), { recursive: true }));
    execFileSync('mkfifo', [fifo]);
    const { source } = await started({ address: fifo });
    await vi.waitFor(() => expect(source.status().reason?.code).toBe('ERR_DEVICE'), SOON);
  });

  it.each([{ address: 'xenbus' }, { address: 'unix:x' }, { path: 'a//b' }, { path: '' }, { path: '@x' }])(
    'refuses %j',
    (options) => {
      expect(() => xenstoreSource(options, environment)).toThrow(
        expect.objectContaining({ code: 'ERR_CONFIG' }) as Error,
      );
    },
  );
});
