import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { builtDeb } from './deb.fixture.js';
import { Debian, needsDebian } from './debian.fixture.js';
import { LONGEST_SETUP_MS, ran, temporaryFolder } from './packed.fixture.js';

const OLD = '0.0.9-1';
const AGENT_UNITS = [
  'lamplighter-agent-boot.service',
  'lamplighter-agent.service',
  'lamplighter-enroll.service',
  'lamplighter-enroll.timer',
];

/**
 * Every file with its kind, mode and owner, and every line of who there is; not what dpkg, ldconfig and passwd say of their own work. Nor
 * system-sleep: dpkg removes it when it is empty, because in Debian 12 systemd owns it as /lib/systemd/system-sleep.
 */
const EVERYTHING = `
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /mnt \\) -prune -o -printf '%y %m %u %p\\n' |
  grep -vE ' /(var/lib/dpkg|var/log|var/cache/ldconfig)(/|$)' |
  grep -vE ' /usr/lib/systemd/system-sleep$' |
  grep -vE ' /etc/(passwd|group|shadow|gshadow|subuid|subgid)-$| /etc/\\.pwd\\.lock$' | sort
sort /etc/passwd /etc/group /etc/shadow /etc/gshadow
find /run -name '*lamplighter*'
`;

/** The same package as it might have been: an older version with another default. */
function older(deb: string, folder: string): string {
  const tree = path.join(folder, 'tree');
  ran('dpkg-deb', ['-R', deb, tree]);
  const edit = (file: string, change: (text: string) => string): void =>
    writeFileSync(path.join(tree, file), change(readFileSync(path.join(tree, file), 'utf8')));
  edit('DEBIAN/control', (text) => text.replace(/^Version: .*$/m, `Version: ${OLD}`));
  edit('etc/lamplighter/node.yaml', (text) => text.replace('port: 9600', 'port: 9601'));
  const old = path.join(folder, 'older.deb');
  ran('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, old]);
  return old;
}

needsDebian('the package on a bare Debian 12', () => {
  const { folder, remove } = temporaryFolder();
  let debian: Debian;
  let bare: string;
  afterAll(async () => {
    await debian?.end();
    remove();
  });

  beforeAll(async () => {
    const deb = builtDeb(path.join(folder, 'built'));
    const files = { 'new.deb': deb, 'old.deb': older(deb, folder) };
    debian = await Debian.boot(path.join(folder, 'machine'), files);
    bare = await debian.succeed(EVERYTHING);
  }, 2 * LONGEST_SETUP_MS);

  it('installs with what is there, and does nothing by itself', async () => {
    await debian.succeed('dpkg -i /mnt/old.deb');
    expect(await debian.succeed('dpkg -s lamplighter')).toContain(`Version: ${OLD}`);
    for (const unit of AGENT_UNITS)
      expect(await debian.succeed(`systemctl is-enabled ${unit}`), unit).toBe('enabled');
    expect(await debian.run('systemctl', 'is-enabled', 'lamplighter-node.service')).toMatchObject({
      stdout: 'disabled\n',
    });
    // Each of the agent's units has a condition that does not hold before somebody enrols or brings a token.
    await debian.succeed('test ! -e /etc/lamplighter/agent.yaml && test ! -e /etc/lamplighter/token');
    expect(await debian.succeed('getent passwd lamplighter')).toMatch(/:\/usr\/sbin\/nologin$/);
    expect(await debian.succeed('stat -c "%a %U" /etc/lamplighter')).toBe('755 root');
  });

  it('what the maintainer scripts do can be done again', async () => {
    const before = await debian.succeed(EVERYTHING);
    await debian.succeed(
      'DPKG_MAINTSCRIPT_PACKAGE=lamplighter /var/lib/dpkg/info/lamplighter.postinst configure',
    );
    expect(await debian.succeed(EVERYTHING)).toBe(before);
  });

  it('the doctor runs, by the Node that came with it, with the addon', async () => {
    await debian.succeed('! command -v node');
    const { code, stdout, stderr } = await debian.run('lamplighter', 'doctor', '--json');
    expect([0, 1], stderr).toContain(code);
    const { verdict, facts } = JSON.parse(stdout) as {
      verdict: string;
      facts: Record<string, { level: string; text: string }>;
    };
    expect(verdict, stdout).toBe('weak');
    expect(facts['kernel.rng']).toMatchObject({ level: 'ok' });
    expect(JSON.stringify(facts)).not.toContain('ERR_ADDON');
  });

  it('the units are good, and find the program', async () => {
    const { code, stdout, stderr } = await debian.run(
      'sh',
      '-c',
      'systemd-analyze verify /usr/lib/systemd/system/lamplighter-*.service /usr/lib/systemd/system/lamplighter-*.timer',
    );
    expect(`${stdout}${stderr}`.split('\n').filter((line) => line.includes('lamplighter'))).toEqual([]);
    expect(code).toBe(0);
  });

  it('the default configuration is good, and a node runs with it', async () => {
    await debian.succeed('lamplighter config check /etc/lamplighter/node.yaml');
    const said = await debian.succeed(`
      cd /tmp; lamplighter node --config /etc/lamplighter/node.yaml 2>/tmp/log & node=$!
      for i in $(seq 100); do
        if state=$(lamplighter status --json --url http://127.0.0.1:9601 2>/dev/null); then break; fi
        sleep 0.2
      done
      kill $node; wait $node
      echo "$state"`);
    expect((JSON.parse(said) as { state: string }).state).toBe('ready');
  });

  it('an upgrade keeps what somebody has changed, and what this machine has become', async () => {
    await debian.succeed(`
      echo '# mine' >>/etc/lamplighter/node.yaml
      systemctl disable --quiet lamplighter-agent.service
      lamplighter seed create --state /var/lib/lamplighter
      sha256sum /var/lib/lamplighter/seed >/tmp/seed`);
    await debian.succeed('dpkg --force-confdef --force-confold -i /mnt/new.deb </dev/null');
    expect(await debian.succeed('dpkg -s lamplighter')).not.toContain(OLD);
    const kept = await debian.succeed('cat /etc/lamplighter/node.yaml');
    expect(kept).toMatch(/port: 9601[^]*# mine$/);
    expect(await debian.succeed('cat /etc/lamplighter/node.yaml.dpkg-dist')).toContain('port: 9600');
    await debian.succeed('sha256sum -c /tmp/seed');
    expect(await debian.run('systemctl', 'is-enabled', 'lamplighter-agent.service')).toMatchObject({
      stdout: 'disabled\n',
    });
    expect(await debian.succeed('systemctl is-enabled lamplighter-agent-boot.service')).toBe('enabled');
  });

  it('removing it leaves configuration and state', async () => {
    await debian.succeed('dpkg -r lamplighter');
    await debian.succeed('! command -v lamplighter; test ! -e /usr/lib/lamplighter');
    await debian.succeed('test -e /etc/lamplighter/node.yaml; sha256sum -c /tmp/seed');
  });

  it('a purge leaves nothing, not even the account', async () => {
    await debian.succeed(`
      touch /etc/lamplighter/identity.pem
      mkdir -p /var/lib/private/lamplighter-node && touch /var/lib/private/lamplighter-node/relay.key
      ln -s private/lamplighter-node /var/lib/lamplighter-node-1
      dpkg -P lamplighter`);
    expect(await debian.succeed(EVERYTHING)).toBe(bare);
  });

  it('but the key of a CA, which is for a person to remove', async () => {
    await debian.succeed('dpkg -i /mnt/new.deb');
    expect(await debian.succeed('dpkg --verify lamplighter')).toBe('');
    await debian.succeed('lamplighter ca init /var/lib/lamplighter-ca');
    const { stderr, code } = await debian.run('dpkg', '-P', 'lamplighter');
    expect(code).toBe(0);
    expect(stderr).toContain("kept, because a CA's key is in it: /var/lib/lamplighter-ca");
    await debian.succeed('test -s /var/lib/lamplighter-ca/ca.key; test ! -e /etc/lamplighter');
  });
});
