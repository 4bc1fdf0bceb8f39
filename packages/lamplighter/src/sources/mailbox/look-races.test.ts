import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { needs } from '../../needs.fixture.js';
import { Mailbox, reader } from './mailbox.fixture.js';

const NAME = `${'ab'.repeat(16)}.entropy`;

let mailbox: Mailbox;
beforeEach(() => {
  mailbox = new Mailbox();
});
afterEach(() => mailbox.remove());

needs('find', 'setpriv')('a mailbox in which somebody changes things during a look', () => {
  it('is not led astray by a file that becomes a link between listing and opening', async () => {
    const look = reader(mailbox);
    const secret = path.join(mailbox.outside, 'secret');
    writeFileSync(secret, 'tell-no-one');
    mailbox.drop('harmless', NAME);
    const { heard, report } = await look({
      open: (file, flags, mode) => {
        if (String(file).endsWith(NAME)) {
          symlinkSync(secret, mailbox.at('link'));
          renameSync(mailbox.at('link'), mailbox.at(NAME));
        }
        return fs.open(file, flags, mode);
      },
    });
    expect(heard).toEqual([]);
    expect(report.refused).toBe(1);
    expect(readFileSync(secret, 'latin1')).toBe('tell-no-one');
  });

  it('opens only the file that it has looked at, whatever takes its name meanwhile', async () => {
    const look = reader(mailbox);
    mailbox.drop('harmless', NAME);
    const { heard } = await look({
      open: (file, flags, mode) => {
        if (/^\/proc\/self\/fd\/\d+$/.test(String(file))) {
          execFileSync('mkfifo', [mailbox.at('fifo')]);
          renameSync(mailbox.at('fifo'), mailbox.at(NAME));
        }
        return fs.open(file, flags, mode);
      },
    });
    expect(heard).toEqual(['harmless']);
    expect(readdirSync(mailbox.folder)).toEqual([NAME]);
  });

  it('removes no file that it has not heard, though it bears the name of one', async () => {
    const look = reader(mailbox);
    mailbox.drop('first', NAME);
    let reads = 0;
    const first = await look({
      open: (file, flags, mode) => {
        if (/^\/proc\/self\/fd\/\d+$/.test(String(file))) reads += 1;
        return fs.open(file, flags, mode);
      },
      lstat: ((file: Buffer, options: { bigint: true }) => {
        if (reads === 1 && file.includes(NAME)) mailbox.drop('second', NAME);
        return fs.lstat(file, options);
      }) as typeof fs.lstat,
    });
    expect(first.heard).toEqual(['first']);
    expect(readFileSync(mailbox.at(NAME), 'latin1')).toBe('second');
    expect((await look()).heard).toEqual(['second']);
  });

  it('stays in the folder it has opened, though a link takes its place meanwhile', async () => {
    const look = reader(mailbox);
    const [moved, elsewhere] = [path.join(mailbox.outside, 'moved'), path.join(mailbox.outside, 'elsewhere')];
    mkdirSync(elsewhere);
    writeFileSync(path.join(elsewhere, NAME), 'tell-no-one');
    mailbox.drop('ours', NAME);
    const { heard } = await look({
      open: async (file, flags, mode) => {
        if (String(file).endsWith(NAME)) {
          renameSync(mailbox.folder, moved);
          symlinkSync(elsewhere, mailbox.folder);
        }
        return fs.open(file, flags, mode);
      },
    });
    expect(heard).toEqual(['ours']);
    expect(readdirSync(moved)).toEqual([]);
    expect(readFileSync(path.join(elsewhere, NAME), 'latin1')).toBe('tell-no-one');
    await expect(look()).rejects.toMatchObject({ code: 'ENOTDIR' });
    renameSync(moved, `${mailbox.folder}.new`);
    execFileSync('rm', [mailbox.folder]);
    renameSync(`${mailbox.folder}.new`, mailbox.folder);
  });
});
