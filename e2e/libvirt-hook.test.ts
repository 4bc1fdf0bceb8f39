import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from './processes.fixture.js';

const HOOK = fileURLToPath(new URL('../deploy/libvirt/qemu', import.meta.url));
const XML = '<domain type="kvm"><name>web-1</name></domain>';

/*
 * libvirt's hook, as libvirt runs it: https://libvirt.org/hooks.html#etc-libvirt-hooks-qemu. What it runs is looked at by what
 * it writes down; the command itself is tested where it is.
 */
describe('the hook of libvirt', () => {
  let folder: string;
  let said: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'libvirt-hook-'));
    said = path.join(folder, 'said');
    const bin = path.join(folder, 'bin');
    mkdirSync(bin);
    for (const program of ['cat', 'sleep', 'timeout'])
      symlinkSync(`/usr/bin/${program}`, path.join(bin, program));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A `lamplighter` that writes its arguments down, and fails so many times. */
  const lamplighter = (failures: number): void => {
    const script = `#!/bin/sh\nprintf '<%s>' "$@" >>${said}\necho >>${said}\n[ "$(while read -r _; do printf x; done <${said})" != ${'x'.repeat(failures)} ]\n`;
    writeFileSync(path.join(folder, 'bin', 'lamplighter'), script, { mode: 0o755 });
  };

  const hook = (...args: readonly string[]): string =>
    execFileSync('/bin/sh', [HOOK, ...args], {
      input: XML,
      env: { PATH: path.join(folder, 'bin') },
      encoding: 'utf8',
      // libvirt waits for it.
      timeout: 5_000,
    });

  const lines = (): string[] => (existsSync(said) ? readFileSync(said, 'utf8').trimEnd().split('\n') : []);

  it('tells the node of a guest that has started, by its name, and says nothing to libvirt', async () => {
    lamplighter(0);
    expect(hook('web-1', 'started', 'begin', '-')).toBe('');
    expect(await eventually('it is told', () => lines().length > 0 && lines())).toEqual([
      '<host><burst><--><web-1>',
    ]);
  });

  it('tells again when the line to the guest is not there yet', async () => {
    lamplighter(1);
    hook('web-1', 'started', 'begin', '-');
    await eventually('it is told twice', () => lines().length === 2);
  });

  it.each(['prepare', 'start', 'restore', 'migrate', 'stopped', 'release', 'reconnect', 'attach'])(
    'has nothing to do with %s',
    async (operation) => {
      lamplighter(0);
      expect(hook('web-1', operation, 'begin', '-')).toBe('');
      // What it had begun for the first would be there before what it does for the second.
      hook('web-2', 'started', 'begin', '-');
      expect(await eventually('it is told', () => lines().length > 0 && lines())).toEqual([
        '<host><burst><--><web-2>',
      ]);
    },
  );

  it('stands in the way of no guest where there is no lamplighter', () => {
    expect(hook('web-1', 'started', 'begin', '-')).toBe('');
  });
});
