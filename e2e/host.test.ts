import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import type { SnippetSubject } from '../packages/lamplighter/dist/node/host/guest-ways.js';
import { adviceFor } from '../packages/lamplighter/dist/node/host/host-snippets.js';
import { bootGuest, endGuests } from './guest/guest.fixture.js';
import { inFull, isFull } from '../packages/lamplighter/dist/needs.fixture.js';
import { needsGuest } from './guest/kernel.fixture.js';
import { LibvirtSession } from './libvirt.fixture.js';
import { dropIn, needsSystemd } from './systemd-files.fixture.js';
import { shipped, shippedUnits, SystemdMachine } from './systemd-machine.fixture.js';
import { Command, endAll, freePorts, partOf, run, untilStatus } from './processes.fixture.js';

/** Whether somebody may connect to the EGD socket. */
const CONNECT = `require('node:net').connect('/run/lamplighter-host/egd.sock', () => process.exit(0)).on('error', () => process.exit(1))`;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-host-'));
});

afterEach(async () => {
  await endGuests();
  await endAll();
  rmSync(folder, { recursive: true, force: true });
});

const socketFolder = (): string => path.join(folder, 'run', 'lamplighter');

/** The configuration that `host init` writes, moved from the system's folders into one of this test. */
async function initialised({ admin, mode = '0700' }: { admin: number; mode?: string }): Promise<string> {
  const { stdout } = await run(['host', 'init']);
  const text = stdout
    .replace('/var/lib/lamplighter-node', path.join(folder, 'state'))
    .replaceAll('/run/lamplighter-host', socketFolder())
    .replace('port: 9600', `port: ${admin}`)
    .replace(/folderMode: "\d+"/, `folderMode: "${mode}"`)
    // This test's machine may be no place for its kernel to be written to.
    .replace(/^ {2}- \{ kind: kernel.*$/m, '');
  const file = path.join(folder, 'host.yaml');
  mkdirSync(path.join(folder, 'run'), { recursive: true });
  writeFileSync(file, text);
  return file;
}

/** `lamplighter host` with a socket, ready. */
async function startedHost(edit: (text: string) => string = (text) => text): Promise<{
  command: Command;
  file: string;
  admin: number;
}> {
  const { admin } = await freePorts('admin');
  const file = await initialised({ admin });
  writeFileSync(file, edit(readFileSync(file, 'utf8')));
  const command = new Command(['host', '--config', file]);
  await untilStatus(admin, 'ready', ({ state }) => state === 'ready' || state === 'degraded');
  return { command, file, admin };
}

async function snippet(hypervisor: string, file: string, ...more: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run([
    'host',
    'snippets',
    '--config',
    file,
    '--for',
    hypervisor,
    ...more,
  ]);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** What a shell makes of a snippet that somebody pasted behind a program's name. */
function pasted(text: string): string[] {
  const { stdout } = spawnSync('sh', ['-c', `set -- ${text}\nprintf '%s\\0' "$@"`], { encoding: 'utf8' });
  return stdout.split('\0').slice(0, -1);
}

describe('lamplighter host init', () => {
  it('writes a configuration that is good, and none over another', async () => {
    const file = path.join(folder, 'host.yaml');
    const { code, stdout, stderr } = await run(['host', 'init', '--out', file]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain(`lamplighter host --config ${file}`);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    expect(await run(['config', 'check', file])).toMatchObject({ code: 0, stdout: `${file}: good\n` });
    const text = readFileSync(file, 'utf8');
    expect((await run(['host', 'init'])).stdout).toBe(text);

    expect(await run(['host', 'init', '--out', file, '--relay', 'https://relay.example'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('[ERR_FILE_EXISTS]') as string,
    });
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('names what was called wrongly', async () => {
    const nowhere = path.join(folder, 'no', 'folder', 'host.yaml');
    expect(await run(['host', 'init', '--out', nowhere])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('(ENOENT) [ERR_OUTPUT_FILE]') as string,
    });
    expect(await run(['host', 'init', '--relay', 'http://relay.example'])).toMatchObject({ code: 64 });
  });
});

describe('lamplighter host', () => {
  it('serves guests, and tells the basis and the socket', async () => {
    const { command, admin } = await startedHost();
    const status = await untilStatus(
      admin,
      'ready',
      ({ state }) => state === 'ready' || state === 'degraded',
    );
    expect(partOf(status, 'outlets', 'egd')).toMatchObject({
      state: 'ok',
      details: { listen: `unix:${socketFolder()}/egd.sock` },
    });
    expect(status.sources.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['os', 'cpu', 'timing', 'whirlwind']),
    );
    expect(await command.stop()).toMatchObject({ code: 0 });
  });

  it('says which group cannot enter the socket’s folder, and serves the others', async () => {
    const { admin } = await freePorts('admin');
    const file = await initialised({ admin, mode: '0750' });
    mkdirSync(socketFolder());
    chmodSync(socketFolder(), 0o700);
    const command = new Command(['host', '--config', file]);
    await untilStatus(admin, 'ready', ({ state }) => state === 'ready' || state === 'degraded');
    const { stdout } = await run(['host', 'init']);
    // Only where this machine has such a group is there anything to say.
    if (stdout.includes('The folder is made with group'))
      expect(command.stderr).toContain('ERR_SOCKET_FOLDER');
    expect(await command.stop()).toMatchObject({ code: 0 });
  });

  it('ends with 78 for a configuration that is not good, 64 for what it does not know', async () => {
    const file = path.join(folder, 'bad.yaml');
    writeFileSync(file, 'name: host\n');
    for (const args of [['host'], ['host', 'snippets']]) {
      expect(await run([...args, '--config', file])).toMatchObject({
        code: 78,
        stderr: expect.stringContaining('[ERR_CONFIG]') as string,
      });
      expect(await run([...args, '--config', path.join(folder, 'none.yaml')])).toMatchObject({ code: 78 });
    }
    expect(await run(['host', 'snippets', '--for', 'bhyve'])).toMatchObject({ code: 64 });
    expect(await run(['host', 'snippets', '--guest', '../x'])).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('[ERR_USAGE]') as string,
    });
    expect(await run(['host', 'what'])).toMatchObject({ code: 64 });
  });

  it('has nothing to paste where nothing reaches a guest', async () => {
    const file = path.join(folder, 'none.yaml');
    writeFileSync(file, 'name: host\nstate: s\nsources: [{ kind: os }]\n');
    const answer = await run(['host', 'snippets', '--config', file, '--for', 'proxmox']);
    expect(answer).toMatchObject({ code: 78, stdout: '' });
    expect(await run(['host', 'snippets', '--config', file])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('# proxmox: nothing') as string,
    });
  });
});

describe('snippets for Firecracker', () => {
  it('are JSON on standard output and nothing else', async () => {
    const { stdout, stderr } = await run(['host', 'snippets', '--for', 'firecracker']);
    expect(JSON.parse(stdout)).toEqual({
      entropy: { rate_limiter: { bandwidth: { size: 4096, one_time_burst: 4096, refill_time: 1000 } } },
    });
    expect(stderr).toContain('draws from the host’s kernel');
  });
});

/** Entries that come out of a configuration. */
const outlets = (...entries: readonly object[]): SnippetSubject['config'] => ({
  outlets: entries as SnippetSubject['config']['outlets'],
});

const carriers = (listen: string): NonNullable<SnippetSubject['config']['carriers']> => [
  { name: 'guests', listen, folderMode: '0700', maxLines: 256 },
];

/** A node with everything that a guest can be given, at a path that no quoting rule likes. */
const HARD: SnippetSubject = {
  guest: 'web-1',
  qemu: undefined,
  config: {
    carriers: carriers(`/run/a'b&c,d/beacons.sock`),
    ...outlets(
      {
        kind: 'egd',
        name: 'egd',
        listen: `unix:/run/lamp's "lighter" & <more>,x/egd.sock`,
        folderMode: '0750',
        uids: [],
        gids: [],
        maxConnections: 512,
        bytesPerSecond: 262_144,
        totalBytesPerSecond: 2_097_152,
      },
      { kind: 'trickle', role: 'connect', folder: '/run/lamplighter-host/guests' },
      { kind: 'trickle', role: 'listen', sockets: ['/run/a&b/web-1.sock'] },
    ),
  },
};

/** A domain with a snippet pasted where its comments say. */
function domainXml(snippetText: string, devices = '', rest = ''): string {
  const [, domain = '', features = '', own = ''] =
    /^<!-- in <domain> -->\n([^]*?)<!-- in <features> -->\n([^]*?)<!-- in <devices> -->\n([^]*)$/.exec(
      snippetText,
    ) ?? [];
  return `<domain type='qemu'><name>web-1</name><memory unit='MiB'>256</memory>${domain}${rest}
    <features>${features}</features><devices>${own}${devices}</devices></domain>`;
}

needs('virt-xml-validate')('libvirt’s own schema', () => {
  const validated = (xml: string): { status: number | null; said: string } => {
    const file = path.join(folder, 'domain.xml');
    writeFileSync(file, xml);
    const { status, stdout, stderr } = spawnSync('virt-xml-validate', [file, 'domain'], { encoding: 'utf8' });
    return { status, said: stdout + stderr };
  };
  const OS = `<os><type arch='x86_64' machine='q35'>hvm</type></os>`;

  it('takes the snippet, also with paths that need every escape there is', async () => {
    const { stdout } = await run(['host', 'snippets', '--for', 'libvirt']);
    for (const text of [stdout, adviceFor('libvirt', HARD).text ?? '']) {
      const xml = domainXml(text, '', OS);
      expect(xml).toContain('<rng ');
      expect(validated(xml)).toMatchObject({ status: 0 });
    }
  });

  it('would not take just anything', () => {
    const text = (adviceFor('libvirt', HARD).text ?? '').replace(`type='unix'`, `type='carrier-pigeon'`);
    expect(validated(domainXml(text, '', OS)).status).not.toBe(0);
  });
});

needsGuest()('a guest of QEMU, started with the printed lines', () => {
  it('reads from this host’s node, and has a VM generation', async () => {
    const { file, admin } = await startedHost((text) =>
      text.replace(/bytesPerSecond: \d+/, 'bytesPerSecond: 1024'),
    );
    const text = await snippet('qemu', file);
    expect(text).toContain('max-bytes=30720,period=30000');
    const guest = await bootGuest({ hostRandom: false, devices: pasted(text) });
    expect(await guest.succeed('head -c 64 /dev/hwrng | wc -c')).toBe('64');
    const status = await untilStatus(admin, 'asked', (now) => partOf(now, 'outlets', 'egd').bytes >= 64);
    expect(partOf(status, 'outlets', 'egd').details).toMatchObject({ connections: 1, protocolErrors: 0 });
    expect(await guest.succeed('ls /sys/bus/acpi/devices')).toMatch(/QEMUVGID/);
  });

  it.runIf(isFull)(
    'gets what it asked for while the node was down, when QEMU’s period is over (full run)',
    async () => {
      const { command, file } = await startedHost();
      const guest = await bootGuest({ hostRandom: false, devices: pasted(await snippet('qemu', file)) });
      // QEMU asks again once, a period after the request that began it; so let none have begun.
      expect(await guest.succeed('head -c 64 /dev/hwrng | wc -c; sleep 35', { timeoutMs: 60_000 })).toBe(
        '64',
      );
      expect(await command.stop()).toMatchObject({ code: 0 });
      // More than the guest has in hand.
      const reading = guest.succeed('head -c 512 /dev/hwrng | wc -c', { timeoutMs: 60_000 });
      expect(await guest.succeed('sleep 3; echo waited')).toBe('waited');
      void new Command(['host', '--config', file]);
      expect(await reading).toBe('512');
    },
    180_000,
  );

  it.runIf(isFull)('has the ports of the snippet, on whatever path the sockets are', async () => {
    const hard = path.join(folder, `a 'b',c & "d"`);
    mkdirSync(hard);
    const trickle = outlets({ kind: 'trickle', role: 'connect', folder: hard });
    const config = { ...trickle, carriers: carriers(path.join(hard, 'beacons.sock')) };
    const text = adviceFor('qemu', { ...HARD, config }).text ?? '';
    const guest = await bootGuest({ devices: pasted(text) });
    expect(statSync(path.join(hard, 'web-1.sock')).isSocket()).toBe(true);
    const ports = (await guest.succeed('cat /sys/class/virtio-ports/*/name')).split('\n');
    expect(ports).toEqual(expect.arrayContaining(['org.openmirage.entropy.1', 'io.lamplighter.beacon.1']));
  });

  it.runIf(isFull)('starts with the args of Proxmox and the strings of xl.cfg too', async () => {
    const { file } = await startedHost();
    const proxmox = await snippet('proxmox', file);
    expect(proxmox).toMatch(/^args: -chardev /);
    const xl = await snippet('xen', file);
    // xl.cfg's lists of strings are JSON but for the comma at their end.
    const [, list = ''] = /device_model_args_hvm = (\[[^]*\])/.exec(xl) ?? [];
    const xen = JSON.parse(list.replace(/,\s*\]$/, ']')) as string[];
    expect(xen).toEqual(pasted(proxmox.replace(/^args: /, '')));
    const guest = await bootGuest({ hostRandom: false, devices: xen });
    expect(await guest.succeed('head -c 64 /dev/hwrng | wc -c')).toBe('64');
  });
});

inFull(() => needsGuest('libvirtd', 'virsh'))('a domain of libvirt, with the printed XML', () => {
  it('reads from this host’s node through a socket that only its group may reach', async () => {
    const session = await LibvirtSession.start(folder);
    try {
      // As `RuntimeDirectory=` and `Group=` of deploy/libvirt make it.
      mkdirSync(socketFolder(), { recursive: true });
      chownSync(socketFolder(), process.geteuid?.() ?? 0, session.groupId);
      chmodSync(socketFolder(), 0o2750);
      const { file, admin } = await startedHost();
      const devices = session.controlDevice;
      const guest = await session.create(
        domainXml(await snippet('libvirt', file), devices, session.bootXml()),
      );
      expect(await guest.run('head -c 64 /dev/hwrng | wc -c', 30_000)).toMatchObject({ stdout: '64\n' });
      expect(await guest.run('ls /sys/bus/acpi/devices', 30_000)).toMatchObject({
        stdout: expect.stringContaining('QEMUVGID') as string,
      });
      const status = await untilStatus(admin, 'asked', (now) => partOf(now, 'outlets', 'egd').bytes >= 64);
      expect(partOf(status, 'outlets', 'egd').details).toMatchObject({ connections: 1 });
    } finally {
      await session.end();
    }
  });
});

needsSystemd('a host’s node under systemd, with the drop-in of deploy/libvirt', () => {
  it('runs in QEMU’s group, and nobody else reaches its socket', async () => {
    const { stdout } = await run(['host', 'init']);
    const readDeployed = (name: string): string =>
      readFileSync(new URL(`../deploy/libvirt/${name}`, import.meta.url), 'utf8');
    const machine = await SystemdMachine.boot(
      {
        ...shippedUnits(),
        '/usr/lib/sysusers.d/lamplighter.conf': shipped('sysusers.d/lamplighter.conf'),
        '/usr/lib/sysusers.d/guests.conf': 'g guests -\n',
        '/etc/lamplighter/node.yaml': stdout.replace(/folderMode: "\d+"/, 'folderMode: "0750"'),
        ...dropIn(
          'lamplighter-node.service',
          'guests',
          readDeployed('node-guests.conf').replace('Group=libvirt-qemu', 'Group=guests'),
        ),
      },
      [],
    );
    try {
      await machine.succeed('systemd-sysusers');
      await machine.succeed('systemctl', 'start', 'lamplighter-node.service');
      await machine.untilUnit('lamplighter-node.service', 'is up', (now) => now['ActiveState'] === 'active');
      const places = [
        '/run/lamplighter-host',
        '/run/lamplighter-host/guests',
        '/run/lamplighter-host/egd.sock',
      ];
      expect(await machine.succeed('stat', '-c', '%U:%G %a', ...places)).toBe(
        'lamplighter:guests 750\nlamplighter:guests 750\nlamplighter:guests 660',
      );
      const as = (group: string): readonly string[] => [
        'setpriv',
        `--reuid=nobody`,
        `--regid=${group}`,
        '--clear-groups',
        'node',
        '-e',
        CONNECT,
      ];
      await machine.succeed(...as('guests'));
      expect((await machine.run(...as('nogroup'))).code).not.toBe(0);
      // What libvirt made for a running guest is still there after a restart.
      await machine.succeed('touch', '/run/lamplighter-host/guests/web-1.sock');
      await machine.succeed('systemctl', 'restart', 'lamplighter-node.service');
      await machine.succeed('test', '-e', '/run/lamplighter-host/guests/web-1.sock');
      await machine.succeed(...as('guests'));
    } finally {
      await machine.end();
    }
  });
});
