import { spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import { expect, it } from 'vitest';
import { addonFile, compileFaults, inChild, needsAddon, temporaryFolder, misuse } from './addon.fixture.js';
import { lockFile } from './file-lock.js';

const LOCKED = { supported: true, value: { locked: true } };
const HELD_ELSEWHERE = { supported: true, value: { locked: false } };

needsAddon('lockFile', () => {
  const folder = temporaryFolder();
  const faults = compileFaults(folder);
  const file = path.join(folder, 'lock');
  writeFileSync(file, '');

  /** Opens the file `count` times, each with a lock of its own. */
  function opened(count: number, run: (...fds: number[]) => void): void {
    const fds = Array.from({ length: count }, () => openSync(file, 'r'));
    try {
      run(...fds);
    } finally {
      fds.forEach((fd) => closeSync(fd));
    }
  }

  it('is held by one, until that one closes', () => {
    opened(1, (mine = -1) => {
      opened(1, (other = -1) => {
        expect(lockFile(other, { exclusive: true })).toEqual(LOCKED);
        expect(lockFile(other, { exclusive: true }), 'again by the same').toEqual(LOCKED);
        expect(lockFile(mine, { exclusive: true })).toEqual(HELD_ELSEWHERE);
      });
      expect(lockFile(mine, { exclusive: true })).toEqual(LOCKED);
    });
  });

  it('is shared by those who share it', () => {
    opened(3, (first = -1, second = -1, third = -1) => {
      expect(lockFile(first, { exclusive: false })).toEqual(LOCKED);
      expect(lockFile(second, { exclusive: false })).toEqual(LOCKED);
      expect(lockFile(third, { exclusive: true })).toEqual(HELD_ELSEWHERE);
    });
  });

  it('is freed when its holder is killed', async () => {
    const script = `
      const fd = require('node:fs').openSync(process.argv[2], 'r');
      console.log(require(process.argv[1]).lockFile(fd, true));
      setInterval(() => {}, 1000);
    `;
    const holder = spawn(process.execPath, ['-e', script, addonFile(), file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(holder, 'close');
    try {
      await once(holder.stdout, 'data');
      opened(1, (fd = -1) => expect(lockFile(fd, { exclusive: true })).toEqual(HELD_ELSEWHERE));
    } finally {
      holder.kill('SIGKILL');
      await ended;
    }
    opened(1, (fd = -1) => expect(lockFile(fd, { exclusive: true })).toEqual(LOCKED));
  });

  it('asks again when a signal interrupts it', () => {
    const script = `
      const fd = require('node:fs').openSync('/proc/self/exe', 'r');
      arm('flock:4');
      tell(native.lockFile(fd, false));
    `;
    expect(inChild(script, { faults })).toEqual([true]);
  });

  it('says why a file cannot be locked', () => {
    let closed = -1;
    opened(1, (fd = -1) => {
      closed = fd;
    });
    expect(lockFile(closed, { exclusive: true })).toEqual({
      supported: false,
      reason: 'the file cannot be locked: Bad file descriptor',
    });
    const script = `arm('flock:95'); tell(native.lockFile(0, true));`;
    expect(inChild(script, { faults })).toEqual(['the file cannot be locked: Operation not supported']);
  });

  it('refuses other arguments', () => {
    for (const fd of [-1, 0.5, NaN, 2 ** 31])
      expect(() => lockFile(fd, { exclusive: true })).toThrow(RangeError);
    expect(misuse(lockFile, '3', { exclusive: true })).toThrow(TypeError);
    expect(misuse(lockFile, 3, {})).toThrow(TypeError);
  });
});
