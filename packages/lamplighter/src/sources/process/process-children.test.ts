import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { needs } from '../../needs.fixture.js';
import { until } from '../camera/until.fixture.js';
import { isAlive, pidIn, run, script } from './process.fixture.js';

/** Compiled: a process of its own runs what users run. */
const ORPHAN = fileURLToPath(new URL('../../../dist/sources/process/orphan.fixture.js', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-process-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const inFolder = (name: string): string => path.join(folder, name);

needs('setpriv', 'sh')('process, what a command leaves behind', () => {
  it('kills a command that ignores SIGTERM, and whatever it has started', async () => {
    const [first, second] = [inFolder('deaf'), inFolder('deaf-child')];
    const text = `trap '' TERM PIPE; sh -c 'trap "" TERM; echo $$ > ${second}; while :; do sleep 1; done' & echo $$ > ${first}; echo a; while :; do sleep 1; done`;
    const pids: number[] = [];
    await run(script(text), async ({ state }) => {
      await state('ok');
      pids.push(await pidIn(first), await pidIn(second));
      expect(pids.map(isAlive)).toEqual([true, true]);
    });
    await until('their end', () => !pids.some(isAlive));
  });

  it('takes the end of a command for the end, though a child of it keeps the pipe open', async () => {
    const file = inFolder('background');
    const leaves = script(
      `sh -c 'echo $$ > ${file}; trap "" PIPE; while :; do echo b; sleep 0.1; done' & echo a; sleep 0.3; exit 5`,
    );
    await run(leaves, async ({ source, state }) => {
      await state('failed', 'ERR_CHILD_EXITED');
      expect(source.status().reason?.message).toBe('sh ended (code 5)');
      const pid = await pidIn(file);
      await until('the end of its child', () => !isAlive(pid));
    });
  });

  it('lets go of the pipe when a child of the command has left its group', async () => {
    const file = inFolder('escaped');
    const escapes = script(`setsid sh -c 'echo $$ > ${file}; exec sleep 1000' & echo a; sleep 0.3; exit 6`);
    await run(escapes, async ({ state }) => {
      await state('failed', 'ERR_CHILD_EXITED');
    });
    process.kill(await pidIn(file), 'SIGKILL');
  });

  it('cannot be outlived by its command, even when we are killed', async () => {
    const file = inFolder('orphan');
    const child = spawn(process.execPath, [ORPHAN, file], { stdio: 'ignore' });
    const pid = await pidIn(file);
    expect(isAlive(pid)).toBe(true);
    child.kill('SIGKILL');
    await until('its end', () => !isAlive(pid));
  });
});
