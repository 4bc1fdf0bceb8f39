import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { closure, packageClosure } from './closure.fixture.js';
import { type Guest, type GuestOptions, bootGuest, endGuests } from './guest.fixture.js';
import { inFull } from '../../packages/lamplighter/dist/needs.fixture.js';
import { needsGuest } from './kernel.fixture.js';

const PACKAGE = fileURLToPath(new URL('../../packages/lamplighter', import.meta.url));
const FIRST = '11111111-2222-3333-4444-555555555555';
const OTHER = '99999999-8888-7777-6666-555555555555';

inFull(() => needsGuest())('a guest whose state was saved', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-saved-'));
  const savedState = path.join(folder, 'state');
  const copied = closure([process.execPath], packageClosure(PACKAGE));
  const generation = (guid: string): GuestOptions => ({
    copied,
    memoryMb: 768,
    devices: ['-device', `vmgenid,guid=${guid}`],
  });
  let bootId: string;

  beforeAll(async () => {
    const guest = await bootGuest(generation(FIRST));
    bootId = await guest.succeed('cat /proc/sys/kernel/random/boot_id');
    await guest.succeed('echo remembered >/tmp/file');
    await guest.saveTo(savedState);
    await guest.kill();
  });

  afterEach(endGuests);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const restored = (guid: string): Promise<Guest> => bootGuest({ ...generation(guid), savedState });
  const forks = (guest: Guest): Promise<string> =>
    guest.succeed('dmesg | grep -c "virtual machine fork" || true');

  it('goes on where it was, as often as one likes', async () => {
    for (const guest of [await restored(FIRST), await restored(FIRST)]) {
      expect(await guest.succeed('cat /proc/sys/kernel/random/boot_id')).toBe(bootId);
      expect(await guest.succeed('cat /tmp/file')).toBe('remembered');
      expect(await forks(guest)).toBe('0');
    }
  });

  it('has all that the program needs', async () => {
    const guest = await restored(FIRST);
    const version = `'${process.execPath}' '${PACKAGE}/bin/lamplighter.js' --version`;
    expect(await guest.succeed(version)).toMatch(/^lamplighter \d/);
  });

  it('is told by its kernel when the generation is another', async () => {
    expect(await forks(await restored(OTHER))).toBe('1');
  });
});
