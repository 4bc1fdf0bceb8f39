import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { shipped, UNITS } from './systemd-machine.fixture.js';

/** What Debian and systemd bring, so that ordering is resolved among real units. */
const HOST_UNITS = '/usr/lib/systemd/system';
const OURS = readdirSync(UNITS).filter((name) => /\.(?:service|timer)$/.test(name));
const SERVICES = OURS.filter((name) => name.endsWith('.service'));
const ENABLED = OURS.filter((name) => name !== 'lamplighter-network.service').map((name) =>
  name.replace('@', '@relay-1'),
);
const PROGRAMS = [
  'lamplighter',
  'kill',
  'rm',
  'timeout',
  'systemctl',
  'sshd',
  'ssh-keygen',
  'cloud-init',
  'sh',
];
/** As Debian, Ubuntu and Fedora have them, where they are not installed here. */
const STRANGERS = {
  'ssh.service':
    '[Unit]\nAfter=network.target\n[Service]\nType=notify\nExecStart=/usr/bin/sshd -D\n[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n',
  'ssh.socket': '[Unit]\nBefore=ssh.service\n[Socket]\nListenStream=22\n[Install]\nWantedBy=sockets.target\n',
  'sshd-keygen@.service':
    '[Unit]\nBefore=ssh.service\n[Service]\nType=oneshot\nExecStart=/usr/bin/ssh-keygen -A\n[Install]\nWantedBy=ssh.service\n',
  'cloud-init.service':
    '[Unit]\nDefaultDependencies=no\nAfter=networking.service\nBefore=network-online.target sshd.service sysinit.target\n[Service]\nType=oneshot\nExecStart=/usr/bin/cloud-init init\n[Install]\nWantedBy=multi-user.target\n',
  'cloud-config.service':
    '[Unit]\nAfter=network-online.target\nWants=network-online.target\n[Service]\nType=oneshot\nExecStart=/usr/bin/cloud-init modules --mode=config\n[Install]\nWantedBy=multi-user.target\n',
} as const;
/** Exposure times ten, as systemd-analyze counts it. */
const MAX_EXPOSURE = 20;

needs('systemd-analyze', 'systemctl')('the units for systemd', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-units-'));
    const units = path.join(root, 'usr/lib/systemd/system');
    cpSync(HOST_UNITS, units, { recursive: true, verbatimSymlinks: true });
    for (const name of OURS) cpSync(path.join(UNITS, name), path.join(units, name));
    for (const [name, unit] of Object.entries(STRANGERS)) {
      rmSync(path.join(units, name), { force: true });
      writeFileSync(path.join(units, name), unit);
    }
    mkdirSync(path.join(root, 'usr/bin'), { recursive: true });
    for (const name of PROGRAMS) {
      writeFileSync(path.join(root, 'usr/bin', name), '#!/bin/sh\n');
      chmodSync(path.join(root, 'usr/bin', name), 0o755);
    }
    const strangers = Object.keys(STRANGERS).map((name) => name.replace('@', '@ed25519'));
    const network = ['systemd-networkd.service', 'systemd-networkd-wait-online.service'];
    execFileSync('systemctl', [`--root=${root}`, 'enable', ...ENABLED, ...strangers, ...network], {
      stdio: 'pipe',
    });
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function dropIn(unit: string, name: string, content: string): void {
    const folder = path.join(root, 'etc/systemd/system', `${unit}.d`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, name), content);
  }

  /** What systemd finds in the units of a whole boot: of ours, and every cycle. */
  function complaints(): string[] {
    const { stdout, stderr } = spawnSync(
      'systemd-analyze',
      ['verify', `--root=${root}`, 'multi-user.target'],
      {
        encoding: 'utf8',
      },
    );
    return `${stdout}${stderr}`.split('\n').filter((line) => /lamplighter|cycle/i.test(line));
  }

  function isExposed(unit: string): boolean {
    const { status, stdout, stderr } = spawnSync(
      'systemd-analyze',
      ['security', '--offline=true', `--root=${root}`, `--threshold=${MAX_EXPOSURE}`, '--no-pager', unit],
      { encoding: 'utf8' },
    );
    expect(stdout, stderr).toContain('Overall exposure level');
    return status !== 0;
  }

  it('are all enabled in one boot, and systemd finds nothing wrong and no cycle', () => {
    expect(complaints()).toEqual([]);
  });

  it.each([
    ['a cycle', '[Unit]\nAfter=ssh.service\n', /ordering cycle/],
    ['a cycle by a socket', '[Unit]\nBefore=ssh.socket\n', /ordering cycle/],
    ['a mistake', '[Service]\nPrivatTmp=yes\n', /Unknown key/],
  ])('that had %s would be found out', (_, content, found) => {
    dropIn('lamplighter-agent-boot.service', 'wrong.conf', content);
    expect(complaints().join('\n')).toMatch(found);
  });

  it.each(SERVICES)('%s is exposed to no more than 2.0', (unit) => {
    expect(isExposed(unit.replace('@', '@relay-1'))).toBe(false);
    dropIn(
      unit,
      'lax.conf',
      '[Service]\nSystemCallFilter=\nRestrictNamespaces=no\nProtectSystem=no\nCapabilityBoundingSet=~\n',
    );
    expect(isExposed(unit.replace('@', '@relay-1'))).toBe(true);
  });

  it.each([
    ['lamplighter-node.service', 'camera.conf'],
    ['lamplighter-node.service', 'hwrng.conf'],
    ['lamplighter-node.service', 'tpm.conf'],
    ['lamplighter-node.service', 'kernel-log.conf'],
    ['lamplighter-node.service', 'low-port.conf'],
    ['lamplighter-node.service', 'authority.conf'],
    ['lamplighter-node@.service', 'authority.conf'],
    ['lamplighter-agent-boot.service', 'first-boot.conf'],
    ['lamplighter-agent-boot.service', 'container.conf'],
    ['lamplighter-agent.service', 'container.conf'],
    ['lamplighter-enroll.service', 'container.conf'],
  ])('%s stays as it is with %s', (unit, name) => {
    dropIn(unit, name, shipped(`drop-ins/${name}`));
    expect(complaints()).toEqual([]);
    expect(isExposed(unit.replace('@', '@relay-1'))).toBe(false);
  });

  it('with every drop-in at once there is nothing wrong and no cycle', () => {
    const drops = readdirSync(path.join(UNITS, 'drop-ins'));
    expect(drops).toContain('video.conf');
    for (const name of drops) {
      const units =
        name === 'ssh-host-keys.conf'
          ? ['ssh.service']
          : ['first-boot.conf', 'container.conf'].includes(name)
            ? ['lamplighter-agent-boot.service']
            : name === 'kernel-log.conf'
              ? ['lamplighter-agent.service', 'lamplighter-node.service']
              : ['lamplighter-node.service'];
      for (const unit of units) dropIn(unit, name, shipped(`drop-ins/${name}`));
    }
    rmSync(path.join(root, 'usr/sbin'), { recursive: true, force: true });
    mkdirSync(path.join(root, 'usr/sbin'));
    cpSync(path.join(root, 'usr/bin/sshd'), path.join(root, 'usr/sbin/sshd'));
    expect(complaints()).toEqual([]);
  });
});

it('one node and one of several differ only in their names', () => {
  const single = shipped('lamplighter-node.service');
  const several = shipped('lamplighter-node@.service')
    .replace('Lamplighter node %i', 'Lamplighter node')
    .replaceAll('/etc/lamplighter/%i.yaml', '/etc/lamplighter/node.yaml')
    .replaceAll('lamplighter-node-%i', 'lamplighter-node');
  expect(several).toBe(single);
});

it('what is the same in the agent’s two units is written the same', () => {
  const sandbox = (name: string): string =>
    /^CapabilityBoundingSet=[^]*?(?=\n\[Install\])/m.exec(shipped(name))?.[0] ?? '';
  expect(sandbox('lamplighter-agent.service')).not.toBe('');
  expect(sandbox('lamplighter-agent.service')).toBe(sandbox('lamplighter-agent-boot.service'));
});

const DEPLOY = path.dirname(UNITS);
const SCRIPTS = [
  'openrc/lamplighter-agent',
  'openrc/lamplighter-agent-boot',
  'systemd/system-sleep/lamplighter',
];

it.each(SCRIPTS)('a shell can read %s', (name) => {
  const { status, stderr } = spawnSync('sh', ['-n', path.join(DEPLOY, name)], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

needs('shellcheck')('the scripts', () => {
  it.each(SCRIPTS)('%s has nothing that shellcheck finds wrong', (name) => {
    // SC2034: what OpenRC reads is not used in the script itself.
    const { stdout } = spawnSync('shellcheck', ['-s', 'sh', '-e', 'SC2034', path.join(DEPLOY, name)], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
  });
});

// Not `needs`: cloud-init is not to be installed on a machine that is somebody's, where it would set up the next boot.
describe.skipIf(!existsSync('/usr/bin/cloud-init'))('for cloud-init (needs cloud-init)', () => {
  const isValid = (file: string): boolean =>
    spawnSync('/usr/bin/cloud-init', ['schema', '--config-file', file]).status === 0;

  it('the snippet is as its schema wants it, and a mistake would be found out', () => {
    const file = path.join(DEPLOY, 'cloud-init/lamplighter.yaml');
    expect(isValid(file)).toBe(true);
    const folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-cloud-'));
    const wrong = path.join(folder, 'wrong.yaml');
    writeFileSync(wrong, readFileSync(file, 'utf8').replace('permissions:', 'mode:'));
    expect(isValid(wrong)).toBe(false);
    rmSync(folder, { recursive: true });
  });
});

it('a token in user data is for root alone', () => {
  const snippet = readFileSync(path.join(DEPLOY, 'cloud-init/lamplighter.yaml'), 'utf8');
  expect(snippet).toMatch(/path: \/etc\/lamplighter\/token\n\s+owner: root:root\n\s+permissions: '0600'/);
});
