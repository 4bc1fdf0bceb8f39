import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import fs from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import * as fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { needs } from '../../needs.fixture.js';
import { isMailboxName, mailboxName } from '../../wire/mailbox.js';
import { asNobody } from '../process/as-nobody.fixture.js';
import { Mailbox, reader } from './mailbox.fixture.js';

const NAME = `${'ab'.repeat(16)}.entropy`;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

let mailbox: Mailbox;
beforeEach(() => {
  mailbox = new Mailbox();
});
afterEach(() => mailbox.remove());

needs('find', 'setpriv')('a look into a mailbox', () => {
  it('hears what was dropped and removes it, and nothing twice', async () => {
    const look = reader(mailbox);
    mailbox.drop('one');
    mailbox.drop('two');
    const first = await look();
    expect(first.heard.toSorted()).toEqual(['one', 'two']);
    expect(first.report).toMatchObject({ entries: 2, heard: 2, foreign: 0, refused: 0, left: 0, waiting: 0 });
    expect(readdirSync(mailbox.folder)).toEqual([]);
    expect((await look()).report).toMatchObject({ entries: 0, heard: 0 });
  });

  it('counts what has another name, mixes name and time, never reads or removes it', async () => {
    const look = reader(mailbox);
    const names = [
      'README',
      '.nfs0000',
      'ümläut',
      '🌋',
      'line\nend',
      `${NAME}\n`,
      `x${NAME}`,
      ' ',
      '-rf',
      '%s',
      '\\n',
    ];
    for (const name of names) writeFileSync(mailbox.at(name), 'tell-no-one');
    const invalid = Buffer.concat([Buffer.from(`${mailbox.folder}/`), Buffer.from([0xff, 0xfe, 0x0a])]);
    writeFileSync(invalid, 'tell-no-one');
    const first = await look();
    expect(first.heard).toEqual([]);
    expect(first.report).toMatchObject({ entries: 12, foreign: 12, refused: 0 });
    expect((await look()).report.digest).toEqual(first.report.digest);
    expect(readdirSync(mailbox.folder).length).toBe(12);

    utimesSync(invalid, 1, 1);
    const second = (await look()).report.digest;
    expect(second).not.toEqual(first.report.digest);
    renameSync(mailbox.at('README'), mailbox.at('READYOU'));
    expect((await look()).report.digest).not.toEqual(second);
  });

  it('hears no more files than it may, and the others next time', async () => {
    const look = reader(mailbox, { maxFiles: 3 });
    const dropped = Array.from({ length: 7 }, (_, at) => `file ${at}`);
    for (const content of dropped) mailbox.drop(content);
    const looks = [await look(), await look(), await look()];
    expect(looks.map(({ report }) => [report.heard, report.waiting])).toEqual([
      [3, 4],
      [3, 1],
      [1, 0],
    ]);
    expect(looks.flatMap(({ heard }) => heard).toSorted()).toEqual(dropped);
  });

  it('reads no more of a folder than it may, and says that there is more', async () => {
    const look = reader(mailbox, { maxEntries: 100 });
    for (let number = 0; number < 2_000; number += 1) writeFileSync(mailbox.at(`junk ${number}`), '');
    expect((await look()).report).toMatchObject({ entries: 100, crowded: true, foreign: 100 });
  });

  it('is not crowded when it is just full', async () => {
    const look = reader(mailbox, { maxEntries: 10 });
    for (let number = 0; number < 10; number += 1) mailbox.drop(`file ${number}`);
    expect((await look()).report).toMatchObject({ entries: 10, crowded: false, heard: 10 });
  });

  it('refuses a file that is too long, also a huge one and one that grows, and leaves it', async () => {
    const look = reader(mailbox);
    const fits = mailbox.drop('a'.repeat(4096));
    const long = mailbox.drop('b'.repeat(4097));
    const huge = mailbox.drop('');
    truncateSync(mailbox.at(huge), 2 ** 40);
    const { report, heard } = await look();
    expect(heard).toEqual(['a'.repeat(4096)]);
    expect(report).toMatchObject({ heard: 1, refused: 2 });
    expect(existsSync(mailbox.at(fits))).toBe(false);
    expect(existsSync(mailbox.at(long))).toBe(true);

    const grows = mailbox.drop('short');
    const growing = await look({
      open: async (file, flags, mode) => {
        const handle = await fs.open(file, flags, mode);
        if (/^\/proc\/self\/fd\/\d+$/.test(String(file))) writeFileSync(mailbox.at(grows), 'c'.repeat(5000));
        return handle;
      },
    });
    expect(growing.heard).toEqual([]);
    expect(growing.report.refused).toBe(3);
  });

  it('leaves an empty file to its writer, and hears it once it holds something', async () => {
    const look = reader(mailbox);
    writeFileSync(mailbox.at(NAME), '');
    expect((await look()).report).toMatchObject({ heard: 0, refused: 0 });
    writeFileSync(mailbox.at(NAME), 'late');
    expect((await look()).heard).toEqual(['late']);
  });

  it('opens no FIFO, socket, folder, link or device, and waits for none', async () => {
    const look = reader(mailbox);
    const [fifo = '', socket = '', folder = '', link = '', dangling = ''] = Array.from(
      { length: 5 },
      (_, at) => mailboxName(new Uint8Array(16).fill(at)),
    );
    execFileSync('mkfifo', [mailbox.at(fifo)]);
    const server = net.createServer().listen(mailbox.at(socket));
    await once(server, 'listening');
    mkdirSync(mailbox.at(folder));
    const secret = path.join(mailbox.outside, 'secret');
    writeFileSync(secret, 'tell-no-one');
    symlinkSync(secret, mailbox.at(link));
    symlinkSync('nowhere', mailbox.at(dangling));
    const { report, heard } = await look();
    expect(heard).toEqual([]);
    expect(report).toMatchObject({ entries: 5, refused: 5, heard: 0, left: 0 });
    expect(readdirSync(mailbox.folder).length).toBe(5);
    expect(readFileSync(secret, 'latin1')).toBe('tell-no-one');
    await new Promise((resolve) => void server.close(resolve));
  });

  it('hears once what it cannot remove, hears it again when it changes, and removes it when it can', async () => {
    const look = reader(mailbox, { maxFiles: 2 });
    for (const content of ['a', 'b', 'c']) chmodSync(mailbox.at(mailbox.drop(content)), 0o644);
    const changing = mailbox.drop('d');
    chmodSync(mailbox.folder, 0o555);
    await asNobody(async () => {
      const looks = [await look(), await look(), await look()];
      expect(looks.flatMap(({ heard }) => heard).toSorted()).toEqual(['a', 'b', 'c', 'd']);
      expect(looks[2]?.report).toMatchObject({ heard: 0, left: 4, waiting: 0 });
    });
    writeFileSync(mailbox.at(changing), 'dd');
    await asNobody(async () => expect((await look()).heard).toEqual(['dd']));
    chmodSync(mailbox.folder, 0o755);
    expect((await look()).heard).toEqual([]);
    expect(readdirSync(mailbox.folder)).toEqual([]);
  });

  it('refuses what it may not read', async () => {
    const look = reader(mailbox);
    chmodSync(mailbox.at(mailbox.drop('tell-no-one')), 0);
    await asNobody(async () => {
      expect(await look()).toMatchObject({ heard: [], report: { refused: 1 } });
    });
    expect(readdirSync(mailbox.folder).length).toBe(1);
  });

  it('takes a file of two names for two', async () => {
    linkSync(mailbox.at(mailbox.drop('both')), mailbox.at(NAME));
    expect((await reader(mailbox)()).heard).toEqual(['both', 'both']);
    expect(readdirSync(mailbox.folder)).toEqual([]);
  });

  it('hears and removes exactly the right ones of any folder', async () => {
    const right = fc
      .uint8Array({ minLength: 16, maxLength: 64 })
      .map((bytes) => Buffer.from(mailboxName(bytes)));
    const wrong = fc
      .uint8Array({ minLength: 1, maxLength: 100 })
      .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x0a : byte))))
      .filter((name) => !['.', '..'].includes(name.toString()));
    const lengths = fc.oneof(fc.constantFrom(0, 1, 4096, 4097), fc.integer({ min: 0, max: 6000 }));
    const entries = fc.uniqueArray(fc.tuple(fc.oneof(right, wrong), lengths), {
      maxLength: 12,
      selector: ([name]) => hex(name),
    });
    await fc.assert(
      fc.asyncProperty(entries, async (files) => {
        const scene = new Mailbox();
        try {
          for (const [name, length] of files) {
            writeFileSync(Buffer.concat([Buffer.from(`${scene.folder}/`), name]), Buffer.alloc(length, name));
          }
          const { heard, report } = await reader(scene)();
          const isRight = ([name, length]: readonly [Buffer, number]): boolean =>
            isMailboxName(name.toString('latin1')) && length >= 1 && length <= 4096;
          const contents = files
            .filter(isRight)
            .map(([name, length]) => Buffer.alloc(length, name).toString('latin1'));
          expect(heard.toSorted()).toEqual(contents.toSorted());
          const left = readdirSync(scene.folder, { encoding: 'buffer' }).map(hex);
          expect(left.toSorted()).toEqual(
            files
              .filter((file) => !isRight(file))
              .map(([name]) => hex(name))
              .toSorted(),
          );
          expect(report).toMatchObject({ entries: files.length, heard: contents.length, crowded: false });
        } finally {
          scene.remove();
        }
      }),
      { numRuns: 30 },
    );
  });
});
