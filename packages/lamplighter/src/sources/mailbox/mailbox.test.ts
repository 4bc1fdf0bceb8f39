import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Environment, systemEnvironment } from '../../local/environment.js';
import { needs } from '../../needs.fixture.js';
import { mailboxName } from '../../wire/mailbox.js';
import { until } from '../camera/until.fixture.js';
import { asNobody } from '../process/as-nobody.fixture.js';
import { type Heard, hearing } from '../process/hearing-source.fixture.js';
import { describeSourceCompliance } from '../source.compliance.js';
import { Mailbox } from './mailbox.fixture.js';
import { type MailboxOptions, mailboxSource } from './mailbox.js';

let mailbox: Mailbox;
beforeEach(() => {
  mailbox = new Mailbox();
});
afterEach(() => mailbox.remove());

function run(
  body: (heard: Heard) => Promise<void>,
  options: Partial<MailboxOptions> = {},
  environment: Environment = systemEnvironment(),
): Promise<void> {
  const source = mailboxSource({ folder: mailbox.folder, periodMs: 100, ...options }, environment);
  return hearing(source, body);
}

const details = ({ source }: Heard): Readonly<Record<string, unknown>> => source.status().details;

describe('mailbox options', () => {
  const make = (options: Partial<MailboxOptions>) => (): unknown =>
    mailboxSource({ folder: '/srv/mailbox', ...options }, systemEnvironment());

  it('are checked before anything runs', () => {
    for (const folder of ['', 'mailbox', './mailbox', '/mail\0box', '/mail\nbox', `/${'a'.repeat(4096)}`]) {
      expect(make({ folder })).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }));
    }
    expect(make({ periodMs: 99 })).toThrow(RangeError);
    expect(make({ lookMs: 600_001 })).toThrow(RangeError);
    expect(make({ maxFiles: 0 })).toThrow(RangeError);
    expect(make({ maxEntries: Number.NaN })).toThrow(RangeError);
  });
});

needs('find', 'setpriv')('mailbox', () => {
  describeSourceCompliance('mailbox', async () => {
    const scene = new Mailbox();
    const dropping = setInterval(() => scene.drop(`${Math.random()}`), 20);
    return {
      source: mailboxSource({ folder: scene.folder, periodMs: 100 }, systemEnvironment()),
      cleanUp: async () => {
        clearInterval(dropping);
        scene.remove();
      },
    };
  });

  it('hears contents as they are, and answers a round with the SHA-512 of all it heard', async () => {
    const [one, two] = [Buffer.alloc(4096, 'lava'), Buffer.from([0, 255])];
    mailbox.drop(one);
    mailbox.drop(two);
    await run(async (heard) => {
      await heard.state('ok');
      await until('both', () => details(heard)['heardFiles'] === 2 && heard.events.length === 3);
      expect(heard.events.some((event) => event.equals(one))).toBe(true);
      expect(heard.events.some((event) => event.equals(two))).toBe(true);
      // The third is the digest of the listing.
      expect(heard.events[2]?.length).toBe(64);
      const expected = createHash('sha512').update(Buffer.concat(heard.events)).digest('hex');
      const answer = await heard.source.sample(AbortSignal.timeout(1000));
      expect(Buffer.from(answer ?? []).toString('hex')).toBe(expected);
      expect(heard.source.status()).toMatchObject({
        basis: { simulated: false, degraded: false, physical: false },
        details: { folder: mailbox.folder, heardFiles: 2, heardBytes: 4098 },
      });
    });
  });

  it('has nothing new to say of a folder in which nothing changes', async () => {
    writeFileSync(mailbox.at('README'), '');
    await run(async (heard) => {
      await until('five looks', () => Number(details(heard)['looks']) > 5);
      expect(heard.events.length).toBe(1);
      expect(heard.source.status()).toMatchObject({ state: 'ok', details: { foreign: 1 } });
    });
  });

  it('claims nothing of an empty folder', async () => {
    await run(async (heard) => {
      await until('some looks', () => Number(details(heard)['looks']) > 3);
      expect(heard.events).toEqual([]);
      expect(heard.source.status().state).toBe('starting');
      mailbox.drop('at last');
      await heard.state('ok');
    });
  });

  it('is lost with its folder, and comes back with it', async () => {
    await run(async (heard) => {
      mailbox.drop('one');
      await heard.state('ok');
      rmSync(mailbox.folder, { recursive: true });
      await heard.state('failed', 'ERR_MAILBOX_GONE');
      mkdirSync(mailbox.folder);
      mailbox.drop('two');
      await heard.state('ok');
      expect(heard.source.status().reason).toBeUndefined();
      expect(heard.text()).toContain('two');
    });
  });

  it('refuses a link in the place of its folder, and a file', async () => {
    const elsewhere = path.join(mailbox.outside, 'elsewhere');
    renameSync(mailbox.folder, elsewhere);
    symlinkSync(elsewhere, mailbox.folder);
    await run(({ state }) => state('failed', 'ERR_MAILBOX_FOLDER'));
    await run(({ state }) => state('failed', 'ERR_MAILBOX_FOLDER'), { folder: `${mailbox.folder}//` });
    rmSync(mailbox.folder);
    writeFileSync(mailbox.folder, '');
    await run(({ state }) => state('failed', 'ERR_MAILBOX_FOLDER'));
    rmSync(mailbox.folder);
    renameSync(elsewhere, mailbox.folder);
  });

  it('says that it may not read its folder', async () => {
    chmodSync(mailbox.folder, 0);
    await asNobody(() => run(({ state }) => state('failed', 'ERR_MAILBOX_FOLDER')));
  });

  it('is degraded while something is in it that it refuses, cannot remove, or is too much', async () => {
    await run(
      async ({ state }) => {
        mailbox.drop('x'.repeat(5000), mailboxName(new Uint8Array(16)));
        await state('degraded', 'ERR_MAILBOX_REFUSED');
        rmSync(mailbox.at(mailboxName(new Uint8Array(16))));
        await state('ok');
        for (let number = 0; number < 20; number += 1) writeFileSync(mailbox.at(`junk ${number}`), '');
        await state('degraded', 'ERR_MAILBOX_CROWDED');
        for (let number = 0; number < 20; number += 1) rmSync(mailbox.at(`junk ${number}`));
        await state('ok');
      },
      { maxEntries: 10 },
    );
    mailbox.drop('kept');
    chmodSync(mailbox.folder, 0o555);
    await asNobody(() =>
      run(async (heard) => {
        await heard.state('degraded', 'ERR_MAILBOX_NOT_REMOVED');
        await until('more looks', () => Number(details(heard)['looks']) > 4);
        expect(details(heard)).toMatchObject({ heardFiles: 1, left: 1 });
      }),
    );
  });

  it('says that a share does not answer, never asks it twice, and recovers', async () => {
    const { environment, opened, release } = hangingShare();
    mailbox.drop('one');
    await run(
      async (heard) => {
        await heard.state('failed', 'ERR_DEADLINE');
        await until('more looks', () => Number(details(heard)['looks']) > 4);
        expect(opened()).toBe(1);
        await release();
        await heard.state('ok');
        expect(heard.text()).toContain('one');
      },
      { lookMs: 100 },
      environment,
    );
  });

  it('ends a listing that does not come to an end, of whatever kind', async () => {
    const before = process.env['PATH'] ?? '';
    const programs = path.join(mailbox.outside, 'programs');
    mkdirSync(programs);
    const find = path.join(programs, 'find');
    mailbox.drop('one');
    try {
      await run(
        async ({ state }) => {
          process.env['PATH'] = `${programs}:${before}`;
          writeFileSync(find, '#!/bin/sh\ntrap "" TERM\nwhile :; do sleep 1; done\n', { mode: 0o755 });
          await state('failed', 'ERR_DEADLINE');
          writeFileSync(find, '#!/bin/sh\nexec cat /dev/urandom\n');
          await state('degraded', 'ERR_MAILBOX_CROWDED');
          writeFileSync(find, '#!/bin/sh\nexec yes no-end-of-name\n');
          await state('degraded', 'ERR_MAILBOX_CROWDED');
          writeFileSync(find, '#!/bin/sh\nexit 7\n');
          await state('failed', 'ERR_MAILBOX_GONE');
          rmSync(find);
          await state('ok');
        },
        { lookMs: 1_000 },
      );
    } finally {
      process.env['PATH'] = before;
    }
  });

  it('stops though a share does not answer', async () => {
    const { environment, opened, release } = hangingShare();
    const source = mailboxSource({ folder: mailbox.folder, periodMs: 100 }, environment);
    await source.start({ hear: () => undefined }, new AbortController().signal);
    await until('it hangs', () => opened() === 1);
    await source.stop();
    expect(source.status().state).toBe('stopped');
    await release();
  });
});

/** A folder whose opening is a system call that hangs, as on a dead NFS server: the reading end of a FIFO nobody writes. */
function hangingShare(): { environment: Environment; opened: () => number; release: () => Promise<void> } {
  const fifo = path.join(mailbox.outside, 'hangs');
  execFileSync('mkfifo', [fifo]);
  const system = systemEnvironment();
  let opened = 0;
  let hangs = true;
  const open: typeof fs.open = async (file, flags, mode) => {
    if (hangs && file === mailbox.folder) {
      opened += 1;
      await (await fs.open(fifo, 'r')).close();
    }
    return fs.open(file, flags, mode);
  };
  return {
    environment: { ...system, fs: { ...system.fs, open } },
    opened: () => opened,
    release: async () => {
      hangs = false;
      await (await fs.open(fifo, 'r+')).close();
    },
  };
}
