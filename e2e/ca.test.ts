import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { endAll, run } from './processes.fixture.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lamplighter-e2e-'));
});
afterEach(async () => {
  await endAll();
  await rm(folder, { recursive: true, force: true });
});

const at = (...names: string[]): string => path.join(folder, ...names);

/** Runs `lamplighter ca …` and expects an exit code. @returns what it wrote */
async function ca(code: number, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const ended = await run(['ca', ...args]);
  expect({ code: ended.code, stderr: ended.code === code ? '' : ended.stderr }).toEqual({ code, stderr: '' });
  return ended;
}

const issue = (name: string, ...more: string[]): string[] => [
  'issue',
  '--ca',
  at('ca'),
  '--role',
  'machine',
  '--name',
  name,
  '--out',
  at('out', name),
  ...more,
];

it('registers what several processes issue at once, and lists it', async () => {
  await ca(0, 'init', at('ca'), '--name', 'Office CA 2');
  expect(readFileSync(at('ca', 'ca.pem'), 'utf8')).toMatch(
    /^# lamplighter trust 1\n-----BEGIN CERTIFICATE-----\n/,
  );
  const names = Array.from({ length: 6 }, (_, n) => `m${n}`);
  await Promise.all(names.map((name) => ca(0, ...issue(name, '--life', '1h'))));
  await ca(0, ...issue('m0', '--life', '60s', '--replace'));

  const newest = await ca(0, 'list', at('ca'));
  expect(newest.stdout.trim().split('\n')).toHaveLength(6);
  const line = newest.stdout.split('\n').find((text) => text.startsWith('machine/m0 '));
  expect(line).toMatch(
    /^machine\/m0 {2}[0-9A-F]{32} {2}issued \S+ \(issue\) {2}expires \S+ {2}root [0-9a-f]{16}$/,
  );
  const all = await ca(0, 'list', at('ca'), '--all', '--json');
  const entries = all.stdout
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as { name: string; at: string });
  expect(entries.map(({ name }) => name).sort()).toEqual(['m0', ...names]);

  writeFileSync(at('ca', 'issued.jsonl'), 'damage\n', { flag: 'a' });
  const damaged = await ca(0, 'list', at('ca'));
  expect(damaged.stdout).toBe(newest.stdout);
  expect(damaged.stderr).toBe('lines of the register that cannot be read: 1\n');
});

it('issues for a request that was made elsewhere', async () => {
  await ca(0, 'init', at('ca'));
  const { stdout } = await ca(0, 'request', '--out', at('machine'), '--name', 'm1');
  expect(stdout).toBe(`${at('machine', 'm1.csr')}\n`);
  expect(statSync(at('machine', 'm1.key')).mode & 0o777).toBe(0o600);
  const foreign = await ca(1, ...issue('m2', '--csr', at('machine', 'm1.csr')));
  expect(foreign.stderr).toContain('[ERR_CSR_NAME]');
  const made = await ca(0, ...issue('m1', '--csr', at('machine', 'm1.csr')));
  expect(made.stdout).toBe(`${at('out', 'm1', 'm1.pem')}\n`);
  expect((await ca(1, ...issue('m3', '--csr', at('none')))).stderr).toContain('[ERR_CSR]');
  expect((await ca(64, ...issue('m3', '--life', '30'))).stderr).toContain(
    'hint: write it as 60s, 15m, 1h or 30d',
  );
});

it('leads an operator through a rotation', async () => {
  await ca(0, 'init', at('ca'));
  await ca(0, ...issue('m1'));
  expect((await ca(64, 'rotate', at('ca'))).stderr).toContain('exactly one of --begin, --switch');
  expect((await ca(1, 'rotate', at('ca'), '--switch')).stderr).toMatch(/\[ERR_ROTATION\]\nhint: .*--begin/);

  const begun = await ca(0, 'rotate', at('ca'), '--begin');
  expect(begun.stdout).toMatch(
    /^trust list 2: .*\nholders that were not given the next root yet: 1, the last until \S+\n {2}machine\/m1\n$/,
  );
  expect(begun.stderr).toMatch(/^next: lamplighter ca rotate \S+ --switch, when nobody waits any more/);
  expect((await ca(1, 'rotate', at('ca'), '--switch')).stderr).toContain('machine/m1');
  await ca(0, ...issue('m1', '--replace'));
  expect((await ca(0, 'rotate', at('ca'), '--status')).stderr).toContain('--switch, safe now');
  await ca(0, 'rotate', at('ca'), '--switch');
  await ca(0, ...issue('m1', '--replace'));
  await ca(0, 'rotate', at('ca'), '--finish');
  const status = await ca(0, 'rotate', at('ca'), '--status', '--json');
  expect(JSON.parse(status.stdout)).toMatchObject({ phase: 'none', sequence: 4, waiting: 0 });
  expect(status.stderr).toBe('');
});
