import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Place } from '../place.fixture.js';
import { Command, endAll, eventually, freePorts, partOf, run, untilStatus } from '../processes.fixture.js';
import { bootGuest, endGuests, type Guest } from './guest.fixture.js';
import { inFull } from '../../packages/lamplighter/dist/needs.fixture.js';
import { needsGuest } from './kernel.fixture.js';

const DIST = fileURLToPath(new URL('../../packages/lamplighter/dist', import.meta.url));
/** Comes with QEMU in Debian 12; it has to run before QEMU does. */
const VIRTIOFSD = '/usr/lib/qemu/virtiofsd';
const FILE_BYTES = 64;
const MAX_UNREAD = 4;
/** More than lay there before the first was taken. */
const FILES = 2 * MAX_UNREAD;

/** How a guest sees the folder that its host shares with it. */
const SHARES = [
  { kind: '9p', folder: '/share' },
  ...(existsSync(VIRTIOFSD) ? [{ kind: 'virtiofs', folder: '/run/virtiofs' }] : []),
] as const;

inFull(() => needsGuest())('a mailbox that a host shares with a guest', () => {
  let place: Place;
  let admin: number;
  let config: string;
  let guest: Guest;
  let daemon: ChildProcess | undefined;

  const startNode = async (): Promise<Command> => {
    const node = new Command(['node', '--config', config]);
    await untilStatus(admin, 'ready', ({ state }) => state === 'ready');
    return node;
  };
  let node: Command;

  beforeAll(async () => {
    place = new Place();
    ({ admin } = await freePorts('admin'));
    for (const { kind } of SHARES) mkdirSync(place.path(kind), { mode: 0o700 });
    config = place.write('host.yaml', {
      name: 'host',
      state: 'state/host',
      admin: { port: admin },
      guests: { socket: place.path('news', 'resumed.sock') },
      sources: [{ kind: 'os' }],
      outlets: [
        {
          kind: 'mailbox',
          folders: SHARES.map(({ kind }) => place.path(kind)),
          periodMs: 1_000,
          maxUnread: MAX_UNREAD,
        },
      ],
    });
    node = await startNode();
    guest = await bootGuest({ share: place.path('9p'), devices: await virtiofs() });
    if (daemon !== undefined) {
      await guest.succeed(
        'modprobe virtiofs && mkdir /run/virtiofs && mount -t virtiofs mailbox /run/virtiofs',
      );
    }
  }, 120_000);

  afterAll(async () => {
    await endGuests();
    await endAll();
    daemon?.kill('SIGKILL');
    place.remove();
  });

  /** A second share, by a daemon that reads the guest's memory. */
  async function virtiofs(): Promise<string[]> {
    if (!SHARES.some(({ kind }) => kind === 'virtiofs')) return [];
    const socket = place.path('virtiofs.sock');
    const options = ['-o', `source=${place.path('virtiofs')}`, '-o', 'sandbox=chroot'];
    daemon = spawn('setpriv', ['--pdeathsig', 'KILL', VIRTIOFSD, `--socket-path=${socket}`, ...options], {
      stdio: 'ignore',
    });
    await once(daemon, 'spawn');
    await eventually('virtiofsd listens', () => existsSync(socket));
    return [
      ['-chardev', `socket,id=virtiofs,path=${socket}`],
      ['-device', 'vhost-user-fs-pci,chardev=virtiofs,tag=mailbox'],
      ['-object', 'memory-backend-memfd,id=memory,size=512M,share=on', '-numa', 'node,memdev=memory'],
    ].flat();
  }

  const details = async (
    what: string,
    condition: (details: Record<string, unknown>) => boolean,
  ): Promise<Record<string, unknown>> => {
    const status = await untilStatus(admin, what, (now) =>
      condition(partOf(now, 'outlets', 'mailbox').details),
    );
    return partOf(status, 'outlets', 'mailbox').details;
  };
  const isFull = ({ unread }: Record<string, unknown>): boolean => unread === SHARES.length * MAX_UNREAD;
  /** What of the host's files a guest sees: a line each, hash and name. */
  const seen = async (folder: string): Promise<string[]> =>
    (await guest.succeed(`sha256sum ${folder}/*.entropy`)).split('\n');

  it('holds a few files, which the guest sees whole and which differ', async () => {
    await details('full', isFull);
    const all: string[] = [];
    for (const { folder } of SHARES) {
      const names = await guest.succeed(`stat -c '%s %F' ${folder}/*.entropy`);
      expect(names.split('\n')).toEqual(
        Array.from({ length: MAX_UNREAD }, () => `${FILE_BYTES} regular file`),
      );
      all.push(...(await seen(folder)).map((line) => line.slice(0, 64)));
    }
    expect(new Set(all).size).toBe(SHARES.length * MAX_UNREAD);
  });

  it('is emptied by the guest’s source, and filled again, also by a node that was started anew', async () => {
    // Node's only program in this emulated guest: a whole node takes a minute to load there.
    const script = `
      const { mailboxSource } = await import('${DIST}/sources/mailbox/mailbox.js');
      const { systemEnvironment } = await import('${DIST}/local/environment.js');
      const { existsSync, writeFileSync } = await import('node:fs');
      const environment = systemEnvironment();
      const folders = ${JSON.stringify(SHARES.map(({ folder }) => folder))};
      const sources = folders.map((folder) => mailboxSource({ name: folder, folder, periodMs: 200 }, environment));
      const signal = new AbortController().signal;
      for (const source of sources) await source.start({ hear: () => undefined }, signal);
      const atLeast = (count) => sources.every((source) => source.status().details.heardFiles >= count);
      const until = (condition) => new Promise((resolve) => {
        const timer = setInterval(() => condition() && (clearInterval(timer), resolve()), 50);
      });
      await until(() => atLeast(${FILES}));
      writeFileSync('/run/some', '');
      await until(() => existsSync('/run/again'));
      const before = Math.max(...sources.map((source) => source.status().details.heardFiles));
      await until(() => atLeast(before + ${FILES}));
      console.log(JSON.stringify(sources.map((source) => source.status())));
      for (const source of sources) await source.stop();`;
    await guest.succeed(`cat >/run/hear.mjs <<'END'\n${script}\nEND`);
    const hearing = guest.succeed(`'${process.execPath}' /run/hear.mjs`, { timeoutMs: 90_000 });
    await Promise.race([
      guest.succeed('until [ -e /run/some ]; do sleep 0.1; done', { timeoutMs: 90_000 }),
      hearing,
    ]);
    await node.stop();
    node = await startNode();
    await guest.succeed('touch /run/again');
    const heard = JSON.parse(await hearing) as { state: string; details: Record<string, number> }[];
    for (const { state, details: of } of heard) {
      expect(state).toBe('ok');
      expect(of['heardFiles']).toBeGreaterThanOrEqual(2 * FILES);
      expect(of).toMatchObject({ refused: 0, foreign: 0, heardBytes: FILE_BYTES * (of['heardFiles'] ?? 0) });
    }
    expect(heard).toHaveLength(SHARES.length);
    await details('full', isFull);
  }, 180_000);

  it.each(SHARES)('gets a file at once when its guest is resumed: $kind', async ({ kind, folder }) => {
    await details('full', isFull);
    const before = await seen(folder);
    const said = await run(['host', 'burst', kind, '--socket', place.path('news', 'resumed.sock')]);
    expect(said).toMatchObject({ code: 0, stdout: `${kind}: a burst on 1 line\n` });
    await eventually('another file in place of one', async () => {
      const now = await seen(folder);
      return now.filter((line) => !before.includes(line)).length === 1;
    });
  });

  it('never leads the host out of it, whatever the guest makes of its files', async () => {
    const victim = place.path('victim');
    writeFileSync(victim, 'as it was');
    const { replaced } = await details('full', isFull);
    // What 9p makes in this folder is a link on the host too.
    await guest.succeed(
      `cd /share && for file in *.entropy; do ln -sf '${victim}' "$file"; done && [ -L "$file" ]`,
    );
    const said = await run(['host', 'burst', '9p', '--socket', place.path('news', 'resumed.sock')]);
    expect(said).toMatchObject({ code: 0 });
    await details('one is replaced', (now) => Number(now['replaced']) > Number(replaced));
    expect(readFileSync(victim, 'utf8')).toBe('as it was');
    expect(await guest.succeed(`find /share -name '*.entropy' -type f | wc -l`)).toBe('1');
    await guest.succeed('rm /share/*.entropy');
    await details('full', isFull);
  });
});
