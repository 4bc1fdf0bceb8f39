import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { until } from '../camera/until.fixture.js';
import { FileDoor, FileDoorPlaces } from './file-door.js';

/** The other end of a FIFO: as long as nobody opens it for writing, opening it for reading is a system call that hangs. */
const HANGS = 'a-fifo';
const forever = new AbortController().signal;

let folder: string;
let fifo: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-door-'));
  fifo = path.join(folder, HANGS);
  execFileSync('mkfifo', [fifo]);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Lets the call that hangs come back. */
async function release(): Promise<void> {
  await (await fs.open(fifo, 'r+')).close();
}

describe('FileDoor', () => {
  it('gives what the operation gives, and its errors', async () => {
    const door = new FileDoor();
    expect(await door.run(() => fs.stat(folder), forever)).toMatchObject({ nlink: 2 });
    await expect(door.run(() => fs.stat(`${folder}/none`), forever)).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(door.busy).toBe(false);
  });

  it('is left by whoever waits, starts nothing else before the call is back, and closes what came late', async () => {
    const door = new FileDoor();
    const tired = new AbortController();
    let closed = 0;
    const late = async (file: fs.FileHandle): Promise<void> => {
      await file.close();
      closed += 1;
    };
    const hung = door.run(() => fs.open(fifo, 'r'), tired.signal, late);
    await until('the call to begin', () => door.busy);
    tired.abort(new Error('tired'));
    await expect(hung).rejects.toThrow('tired');

    let started = 0;
    const second = door.run(() => Promise.resolve((started += 1)), forever);
    await expect(door.run(() => fs.stat(folder), AbortSignal.timeout(50))).rejects.toThrow();
    await door.settled(systemEnvironment(), 20);
    expect({ started, closed, busy: door.busy }).toEqual({ started: 0, closed: 0, busy: true });

    await release();
    expect(await second).toBe(1);
    expect(closed).toBe(1);
    await door.settled(systemEnvironment(), 1000);
    expect(door.busy).toBe(false);
  });

  it('starts nothing for somebody who has gone already', async () => {
    let started = 0;
    const never = new FileDoor().run(() => Promise.resolve((started += 1)), AbortSignal.abort());
    await expect(never).rejects.toThrow();
    expect(started).toBe(0);
  });

  it('lets only so many calls hang, however many doors there are', async () => {
    const places = new FileDoorPlaces(1);
    const tired = new AbortController();
    const first = new FileDoor(places);
    const hung = first.run(
      () => fs.open(fifo, 'r'),
      tired.signal,
      (file) => file.close(),
    );
    await until('the call to begin', () => first.busy);
    let started = 0;
    const count = (): Promise<number> => Promise.resolve((started += 1));
    const other = new FileDoor(places);
    await expect(other.run(count, AbortSignal.timeout(50))).rejects.toThrow();
    const patient = other.run(count, forever);
    tired.abort(new Error('tired'));
    await expect(hung).rejects.toThrow('tired');
    expect(started).toBe(0);
    await release();
    expect(await patient).toBe(1);
  });
});
