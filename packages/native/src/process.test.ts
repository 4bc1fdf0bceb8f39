import { chmodSync, copyFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { addonFile, compileFaults, inChild, needsAddon, temporaryFolder } from './addon.fixture.js';

/** Whether the kernel would dump this process: the soft and hard limit, and who owns its /proc files. */
const LOOK = `
  const { readFileSync, statSync } = require('node:fs');
  const look = () => ({
    limits: /^Max core file size +(\\S+) +(\\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')).slice(1),
    owner: statSync('/proc/self/environ').uid,
  });
`;

// Not in this process: it is for good.
needsAddon('disableCoreDumps', () => {
  const folder = temporaryFolder();
  const faults = compileFaults(folder);

  it('sets both limits to zero', () => {
    const [done, after] = inChild(`${LOOK} tell(native.disableCoreDumps(), look());`);
    expect(done).toBe(true);
    expect(after).toMatchObject({ limits: ['0', '0'] });
  });

  it('makes the process undumpable', () => {
    // Seen by /proc/self, which belongs to root then. A process of root would not show it, so another user runs it.
    const addon = path.join(folder, 'addon.node');
    copyFileSync(addonFile(), addon);
    chmodSync(addon, 0o755);
    chmodSync(folder, 0o755);
    const isRoot = process.getuid?.() === 0;
    const prefix = isRoot ? ['setpriv', '--reuid=65534', '--clear-groups'] : [];
    const script = `${LOOK} tell(look().owner, native.disableCoreDumps(), look().owner);`;
    expect(inChild(script, { addon, prefix })).toEqual([isRoot ? 65534 : process.getuid?.(), true, 0]);
  });

  it.each([
    ['setrlimit:1', 'setrlimit failed: Operation not permitted'],
    ['prctl:22', 'prctl failed: Invalid argument'],
  ])('says what was refused (%s)', (fault, reason) => {
    expect(inChild(`arm(${JSON.stringify(fault)}); tell(native.disableCoreDumps());`, { faults })).toEqual([
      reason,
    ]);
  });
});
