import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unable } from '../../local/ability.js';
import { type Environment, systemEnvironment } from '../../local/environment.js';
import { fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { systemNative } from '../../local/native-doors.js';
import { needs } from '../../needs.fixture.js';
import { NO_BASIS } from '../../wire/basis.js';
import type { BeaconRecord } from '../../outlets/beacon.js';
import { AuditLog } from './audit.js';

/** Compiled: the process is killed, and runs what users run. */
const WRITER = fileURLToPath(new URL('../../../dist/node/fleet/audit-writer.fixture.js', import.meta.url));
const ORIGIN = {
  software: 'lamplighter 0',
  node: 'relay-1',
  start: 7n,
  instanceId: new Uint8Array(16).fill(0xab),
};
const LEAST_BYTES = 131_072;
const hasAddon = systemNative.available().supported;

let folder: string;
let file: string;
const logs: AuditLog[] = [];
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-audit-'));
  file = path.join(folder, 'audit', 'beacons.jsonl');
});
afterEach(async () => {
  await Promise.all(logs.splice(0).map((log) => log.stop()));
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
  rmSync(folder, { recursive: true, force: true });
});

function newLog(options: Partial<ConstructorParameters<typeof AuditLog>[0]> = {}): AuditLog {
  const environment = systemEnvironment();
  const log = new AuditLog({ path: file, origin: ORIGIN, environment, native: systemNative, ...options });
  logs.push(log);
  return log;
}

function record(counter: number): BeaconRecord {
  return {
    atNs: 1_700_000_000_000_000_042n,
    peer: { role: 'machine', name: 'web-1', serial: '4AFF' },
    start: 7n,
    counter: BigInt(counter),
    basis: NO_BASIS,
  };
}

function recordMany(log: AuditLog, from: number, count: number): void {
  for (let i = from; i < from + count; i += 1) log.record(record(i));
}

interface Line {
  readonly counter?: string;
  readonly lost?: number;
  readonly instance?: string;
}

/** Every line of a file; each must be whole. */
function linesOf(where: string): Line[] {
  const text = readFileSync(where, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

const countersOf = (lines: readonly Line[]): number[] =>
  lines.flatMap(({ counter }) => (counter === undefined ? [] : [Number(counter)]));

const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

const written = (log: AuditLog, records: number) =>
  expect.poll(() => log.status().records, { timeout: 10_000 }).toBe(records);

describe.skipIf(!hasAddon)('an audit record', () => {
  it('says who was given which beacon when, what it rests on, and nothing else', async () => {
    const log = newLog({ environment: fixedEnvironment() });
    await log.open();
    log.record({ ...record(1), basis: { simulated: true, degraded: false, physical: true } });
    log.record({
      ...record(2),
      atNs: 1_700_000_001_999_999_999n,
      peer: { role: 'relay', name: 'dc-2.relay', serial: '40' },
    });
    await log.stop();
    expect(readFileSync(file, 'utf8').split('\n')).toEqual([
      `{"at":"2023-11-14T22:13:21.000000000Z","software":"lamplighter 0","node":"relay-1","start":"7","instance":"${'ab'.repeat(16)}"}`,
      '{"at":"2023-11-14T22:13:20.000000042Z","role":"machine","name":"web-1","serial":"4AFF","start":"7","counter":"1","basis":"simulated, physical"}',
      '{"at":"2023-11-14T22:13:21.999999999Z","role":"relay","name":"dc-2.relay","serial":"40","start":"7","counter":"2","basis":""}',
      '',
    ]);
    expect(log.status()).toEqual({ file, records: 2, lost: 0 });
  });

  it('is written within a second though nobody stops, and may be read by its group and changed by nobody', async () => {
    const log = newLog();
    await log.open();
    recordMany(log, 1, 3);
    await written(log, 3);
    expect(countersOf(linesOf(file))).toEqual([1, 2, 3]);
    expect(statSync(file).mode & 0o777 & ~0o640).toBe(0);
    expect(statSync(path.dirname(file)).mode & 0o777 & ~0o750).toBe(0);
  });

  it('goes on where the process before it ended', async () => {
    for (let start = 0; start < 3; start += 1) {
      const log = newLog();
      await log.open();
      log.record(record(start));
      await log.stop();
    }
    const lines = linesOf(file);
    expect(countersOf(lines)).toEqual([0, 1, 2]);
    expect(lines.filter(({ instance }) => instance !== undefined)).toHaveLength(3);
  });

  it('takes 25,000 records at once, and soon has them on disk', async () => {
    const log = newLog();
    await log.open();
    const startedMs = performance.now();
    recordMany(log, 0, 25_000);
    const tookMs = performance.now() - startedMs;
    await written(log, 25_000);
    // 12 ms here.
    expect(tookMs).toBeLessThan(1_000);
    expect(log.status().lost).toBe(0);
    expect(countersOf(linesOf(file))).toEqual(numbers(0, 25_000));
  });

  it('turns files over under load without losing or tearing a line, and keeps only so many', async () => {
    const log = newLog({ maxBytes: LEAST_BYTES, files: 3 });
    await log.open();
    const older = `${file}.7`;
    writeFileSync(older, 'of a time when more were kept\n');
    writeFileSync(`${file}.note`, 'not ours');
    for (let turn = 0; turn < 10; turn += 1) {
      recordMany(log, turn * 1_000, 1_000);
      await written(log, (turn + 1) * 1_000);
    }
    await log.stop();
    const names = readdirSync(path.dirname(file)).sort();
    const name = path.basename(file);
    expect(names).toEqual([name, `${name}.1`, `${name}.2`, `${name}.lock`, `${name}.note`]);
    const files = [`${file}.2`, `${file}.1`, file];
    for (const one of files) {
      expect(statSync(one).size).toBeLessThanOrEqual(LEAST_BYTES);
      expect(linesOf(one)[0]).toHaveProperty('instance');
    }
    const kept = files.flatMap((one) => countersOf(linesOf(one)));
    expect(kept.length).toBeGreaterThan(1_000);
    expect(kept).toEqual(numbers(10_000 - kept.length, kept.length));
    expect(log.status()).toEqual({ file, records: 10_000, lost: 0 });
  });

  it('with one file to keep begins it anew when it is full', async () => {
    const log = newLog({ maxBytes: LEAST_BYTES, files: 1 });
    await log.open();
    recordMany(log, 0, 3_000);
    await written(log, 3_000);
    expect(readdirSync(path.dirname(file))).toHaveLength(2);
    expect(countersOf(linesOf(file)).at(-1)).toBe(2_999);
  });

  it('is no other’s: a second process waits for the first to end, says so, and then goes on after it', async () => {
    const one = newLog();
    await one.open();
    const other = newLog();
    await other.open();
    one.record(record(1));
    other.record(record(2));
    await written(one, 1);
    expect(other.status()).toMatchObject({
      records: 0,
      lost: 0,
      reason: { code: 'ERR_AUDIT_FILE', hint: 'give each node a file of its own' },
    });
    await one.stop();
    await written(other, 1);
    expect(other.status().reason).toBeUndefined();
    expect(countersOf(linesOf(file))).toEqual([1, 2]);
  });

  it('is begun again when its folder is removed under it, and says nothing that is not so', async () => {
    const log = newLog();
    await log.open();
    recordMany(log, 0, 10);
    await written(log, 10);
    rmSync(path.dirname(file), { recursive: true });
    recordMany(log, 10, 10);
    await written(log, 20);
    expect(countersOf(linesOf(file))).toEqual(numbers(10, 10));
    // Nor can another process take what it writes now.
    const other = newLog();
    await other.open();
    expect(other.status().reason?.code).toBe('ERR_AUDIT_FILE');
  });

  it('names a folder that became a file, drops nothing meanwhile, and goes on when it is one again', async () => {
    const log = newLog();
    await log.open();
    rmSync(path.dirname(file), { recursive: true });
    writeFileSync(path.dirname(file), 'in the way');
    recordMany(log, 0, 10);
    await expect.poll(() => log.status().reason?.code, { timeout: 5_000 }).toBe('ERR_AUDIT_FILE');
    rmSync(path.dirname(file));
    await written(log, 10);
    expect(log.status()).toEqual({ file, records: 10, lost: 0 });
    expect(countersOf(linesOf(file))).toEqual(numbers(0, 10));
  });

  it('begins a new file when somebody else moves this one away', async () => {
    const log = newLog();
    await log.open();
    recordMany(log, 0, 10);
    await written(log, 10);
    renameSync(file, path.join(folder, 'moved'));
    recordMany(log, 10, 10);
    await written(log, 20);
    const lines = [...linesOf(path.join(folder, 'moved')), ...linesOf(file)];
    expect(countersOf(lines)).toEqual(numbers(0, 20));
  });

  it('ends a line that a killed process left unfinished, and takes nothing back', async () => {
    const first = newLog();
    await first.open();
    await first.stop();
    appendFileSync(file, '{"at":"2023');
    const before = readFileSync(file, 'utf8');
    const log = newLog();
    await log.open();
    log.record(record(1));
    await log.stop();
    const after = readFileSync(file, 'utf8');
    expect(after.startsWith(`${before}\n{"at":`)).toBe(true);
    expect(after.slice(before.length + 1).split('\n')).toHaveLength(3);
  });

  it.each<[string, (where: string) => void]>([
    ['a link', (where) => symlinkSync('/dev/null', where)],
    ['a device', (where) => symlinkSync('/dev/full', where)],
    ['a folder', (where) => mkdirSync(where)],
  ])('does not write to %s in its place', async (_what, put) => {
    mkdirSync(path.dirname(file));
    put(file);
    const log = newLog();
    await log.open();
    log.record(record(1));
    await log.stop();
    expect(log.status()).toMatchObject({ records: 0, lost: 1, reason: { code: 'ERR_AUDIT_FILE' } });
  });

  it('drops what a disk that takes nothing leaves no room for, counts it, and never waits', async () => {
    const system = systemEnvironment();
    let refuses = true;
    const fs: Environment['fs'] = {
      ...system.fs,
      open: async (...args) => {
        if (refuses) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        return await system.fs.open(...args);
      },
    };
    const log = newLog({ environment: { ...system, fs } });
    await log.open();
    expect(log.status().reason).toMatchObject({
      code: 'ERR_AUDIT_FILE',
      message: expect.stringContaining('(ENOSPC)') as string,
    });
    recordMany(log, 0, 100_000);
    const { lost } = log.status();
    // The queue is 8 MiB and one block; a line here has 118 to 122 bytes.
    expect(lost).toBeGreaterThan(20_000);
    expect(lost).toBeLessThan(50_000);
    refuses = false;
    await written(log, 100_000 - lost);
    log.record(record(100_000));
    await log.stop();
    const lines = linesOf(file);
    expect(countersOf(lines)).toEqual([...numbers(0, 100_000 - lost), 100_000]);
    expect(lines.filter((line) => line.lost !== undefined)).toEqual([{ lost }]);
    // The gap stands where it is.
    expect(lines.at(-2)).toEqual({ lost });
    expect(log.status()).toEqual({ file, records: 100_001 - lost, lost });
  });

  it('waits for a disk that does not answer neither when it opens nor when it stops, and counts what was not written', async () => {
    const system = systemEnvironment();
    const never = new Promise<never>(() => undefined);
    const fs: Environment['fs'] = { ...system.fs, mkdir: () => never };
    const log = newLog({ environment: { ...system, fs } });
    await log.open();
    recordMany(log, 0, 5);
    const startedMs = performance.now();
    await log.stop(100);
    expect(performance.now() - startedMs).toBeLessThan(1_000);
    expect(log.status()).toMatchObject({ records: 0, lost: 5 });
    log.record(record(6));
    expect(log.status().lost).toBe(6);
  });

  it('leaves whole lines, but at most a torn last one, when its process is killed', async () => {
    let next = 0;
    for (let kill = 0; kill < 5; kill += 1) {
      const child = spawn(process.execPath, [WRITER, file], { stdio: ['ignore', 'inherit', 'inherit'] });
      children.push(child);
      const sizeBefore = existsSync(file) ? statSync(file).size : 0;
      await expect
        .poll(() => existsSync(file) && statSync(file).size !== sizeBefore, { timeout: 10_000, interval: 5 })
        .toBe(true);
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    for (const one of readdirSync(path.dirname(file)).filter((name) => !name.endsWith('.lock'))) {
      const lines = readFileSync(path.join(path.dirname(file), one), 'utf8').split('\n');
      const isLast = one === path.basename(file);
      for (const [at, line] of lines.entries()) {
        // Only where a process ended: before the first line of the next one, or at the end.
        const mayBeTorn =
          (isLast && at === lines.length - 1) || lines[at + 1]?.includes('"instance"') === true;
        if (mayBeTorn || line === '') continue;
        const { counter, instance } = JSON.parse(line) as Line;
        if (instance !== undefined) next = 0;
        else if (next !== 0) expect(Number(counter)).toBe(next);
        next = Number(counter ?? -1) + 1;
      }
    }
  });

  it.each([{ maxBytes: 65_536 }, { maxBytes: Number.NaN }, { files: 0 }, { files: 1.5 }, { files: 1_001 }])(
    'cannot be made with %j',
    (bad) => {
      expect(() => newLog(bad)).toThrow(RangeError);
    },
  );
});

it('is not written without the addon, which locks it: that is named, and what is lost counted', async () => {
  const log = newLog({ native: { lockFile: () => unable('there is no addon') } });
  await log.open();
  log.record(record(1));
  await log.stop();
  expect(log.status()).toMatchObject({
    records: 0,
    lost: 1,
    reason: { code: 'ERR_AUDIT_FILE', message: expect.stringContaining('there is no addon') as string },
  });
});

needs('unshare', 'mount')('an audit record on a disk', () => {
  /** A small disk that nobody else sees, gone with the process that holds it. @returns how this process names it */
  async function disk(sizeBytes: number): Promise<string> {
    const script = 'mount -t tmpfs -o "size=$2" none "$1" && echo mounted && exec cat';
    const holder = spawn(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', folder, String(sizeBytes)],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    children.push(holder);
    await once(holder.stdout, 'data');
    return path.join('/proc', String(holder.pid), 'root', folder);
  }

  it.skipIf(!hasAddon || process.getuid?.() !== 0)(
    'that is full loses records, never a part of a line, says how many, and goes on when there is room (root)',
    async () => {
      const mounted = await disk(262_144);
      const ballast = path.join(mounted, 'ballast');
      writeFileSync(ballast, Buffer.alloc(204_800));
      file = path.join(mounted, 'audit.jsonl');
      const log = newLog();
      await log.open();
      recordMany(log, 0, 100_000);
      await expect
        .poll(() => log.status().reason?.message, { timeout: 10_000 })
        .toContain('cannot be written (ENOSPC)');
      const { lost } = log.status();
      expect(lost).toBeGreaterThan(0);
      // What is there is whole, and serving goes on: a record costs no more than before.
      linesOf(file);
      const startedMs = performance.now();
      recordMany(log, 100_000, 1_000);
      expect(performance.now() - startedMs).toBeLessThan(100);
      await log.stop();
      const kept = countersOf(linesOf(file));
      expect(kept).toEqual(numbers(0, kept.length));
      expect(log.status()).toMatchObject({ records: kept.length, lost: 101_000 - kept.length });
      rmSync(ballast);
      const next = newLog();
      await next.open();
      next.record(record(1));
      await written(next, 1);
      expect(countersOf(linesOf(file))).toEqual([...numbers(0, kept.length), 1]);
    },
  );
});
