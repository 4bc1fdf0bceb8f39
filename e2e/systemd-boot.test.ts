import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Place } from './place.fixture.js';
import {
  agentFiles,
  asked,
  dropIn,
  NODE_STATE,
  nodeFiles,
  needsSystemd,
  PORT,
  seconds,
  SSH,
} from './systemd-files.fixture.js';
import { shippedUnits, SystemdMachine } from './systemd-machine.fixture.js';

let place: Place;
let machine: SystemdMachine | undefined;

beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
afterEach(() => machine?.end());

needsSystemd('a boot under systemd', () => {
  it('a node is up when it is seeded, and an agent has its beacon before sshd may make keys', async () => {
    machine = await SystemdMachine.boot(
      {
        ...nodeFiles(place),
        ...agentFiles(place),
        ...asked('lamplighter-agent-boot.service'),
        // Only here is its relay on the same machine.
        ...dropIn(
          'lamplighter-agent-boot.service',
          'after-relay',
          '[Unit]\nAfter=lamplighter-node.service\n',
        ),
      },
      ['lamplighter-node.service', 'lamplighter-agent-boot.service', 'ssh.service'],
    );
    const ssh = await machine.untilUnit(
      'ssh.service',
      'is up',
      ({ ActiveState }) => ActiveState === 'active',
    );
    const node = await machine.unit('lamplighter-node.service');
    expect(node).toMatchObject({
      ActiveState: 'active',
      Result: 'success',
      NRestarts: '0',
      StatusText: 'ready',
    });
    const agent = await machine.unit('lamplighter-agent-boot.service');
    expect(agent).toMatchObject({ ActiveState: 'active', Result: 'success', ExecMainStatus: '0' });
    expect(seconds(agent['ExecMainStartTimestampMonotonic'])).toBeGreaterThanOrEqual(
      seconds(node['ActiveEnterTimestampMonotonic']),
    );
    expect(seconds(ssh['ExecMainStartTimestampMonotonic'])).toBeGreaterThanOrEqual(
      seconds(agent['ExecMainExitTimestampMonotonic']),
    );
    const report = JSON.parse(await machine.succeed('cat', '/run/lamplighter/agent.json')) as object;
    expect(report).toMatchObject({
      last: { seeded: true, beacons: 1, hedge: 'on', kernel: { bytesWritten: 64 } },
    });
    expect(report).toMatchObject({ last: { kernel: { reseeded: true }, sources: { 'beacon/relay': 64 } } });

    // What the unit says of the node is so.
    const status = await machine.succeed('cat', `/proc/${node['MainPID']}/status`);
    for (const [field, value] of [
      ['CapEff', '0000000000000000'],
      ['CapBnd', '0000000000000000'],
      ['NoNewPrivs', '1'],
      ['Seccomp', '2'],
    ] as const) {
      expect(status).toMatch(new RegExp(`^${field}:\\s+${value}$`, 'm'));
    }
    const uid = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]);
    expect(uid).toBeGreaterThan(0);
    expect(await machine.succeed('cat', `/proc/${node['MainPID']}/limits`)).toMatch(
      /core file size\s+0\s+0/i,
    );
    expect(await machine.succeed('stat', '-L', '-c', '%u %a', NODE_STATE)).toBe(`${uid} 700`);
  });

  it('an agent sees the generator of its host, and no other device', async () => {
    const look = [
      'head -c 16 /dev/hwrng',
      'test ! -e /dev/vmclock0',
      'test ! -e /dev/full-of-secrets',
      'test -w /dev/random',
    ];
    const before = look.map((command) => `ExecStartPre=${command}\n`).join('');
    machine = await SystemdMachine.boot(
      {
        ...agentFiles(place),
        ...asked('lamplighter-agent-boot.service'),
        ...dropIn('lamplighter-agent-boot.service', 'look', `[Service]\nStandardOutput=null\n${before}`),
      },
      [],
    );
    for (const device of ['/dev/hwrng', '/dev/full-of-secrets'])
      await machine.succeed('mknod', device, 'c', '1', '9');
    await machine.succeed('systemctl', 'start', 'lamplighter-agent-boot.service');
    // Nobody was there to be asked; and this machine's generator is in the kernel.
    expect(await machine.unit('lamplighter-agent-boot.service')).toMatchObject({
      Result: 'success',
      ExecMainStatus: '2',
    });
  });

  it('an agent that stays is up after its first boot, and gives sign of life', async () => {
    machine = await SystemdMachine.boot(
      {
        ...agentFiles(place),
        ...asked('lamplighter-agent.service'),
        ...dropIn('lamplighter-agent.service', 'watchdog', '[Service]\nWatchdogSec=2\n'),
      },
      [],
    );
    await machine.succeed('systemctl', 'start', 'lamplighter-agent.service');
    const up = await machine.unit('lamplighter-agent.service');
    expect(up).toMatchObject({ ActiveState: 'active', NotifyAccess: 'main', NRestarts: '0' });
    expect(up['StatusText']).toContain('0 of 1 required beacons');
    const report = JSON.parse(await machine.succeed('cat', '/run/lamplighter/agent.json')) as object;
    expect(report).toMatchObject({ last: { seeded: true, kernel: { bytesWritten: 64, reseeded: true } } });
    // It hangs, and so it is started anew.
    await machine.succeed('kill', '-STOP', up['MainPID'] ?? '');
    await machine.untilUnit('lamplighter-agent.service', 'is ended', ({ Result }) => Result === 'watchdog');
  });

  it('an enrolment that fails holds nobody, and keeps its token for the next', async () => {
    const units = ['lamplighter-enroll.service', 'lamplighter-agent-boot.service', 'ssh.service'];
    machine = await SystemdMachine.boot(
      {
        ...shippedUnits(),
        ...asked('lamplighter-enroll.service', 'lamplighter-agent-boot.service'),
        '/etc/systemd/system/ssh.service': SSH,
        '/etc/lamplighter/token': 'no token',
        '/etc/lamplighter/enroll.env': `LAMPLIGHTER_RELAY=https://127.0.0.1:${PORT}\n`,
      },
      units,
    );
    const ssh = await machine.untilUnit('ssh.service', 'is up', (now) => now['ActiveState'] === 'active');
    const enroll = await machine.unit('lamplighter-enroll.service');
    expect(enroll).toMatchObject({ ActiveState: 'failed', Result: 'exit-code' });
    expect(seconds(ssh['ExecMainStartTimestampMonotonic'])).toBeGreaterThanOrEqual(
      seconds(enroll['ExecMainExitTimestampMonotonic']),
    );
    expect(await machine.succeed('stat', '-c', '%a', '/etc/lamplighter/token')).toBe('600');
    // Without an identity there is no configuration, and nothing to do.
    expect(await machine.unit('lamplighter-agent-boot.service')).toMatchObject({ ConditionResult: 'no' });
  });

  it('in a container the agent is left out unless it is asked for', async () => {
    const units = ['lamplighter-agent-boot.service', 'lamplighter-agent.service', 'ssh.service'];
    machine = await SystemdMachine.boot(agentFiles(place), units);
    await machine.untilUnit('ssh.service', 'is up', (now) => now['ActiveState'] === 'active');
    for (const unit of units.slice(0, 2)) {
      expect(await machine.unit(unit)).toMatchObject({
        ActiveState: 'inactive',
        ConditionResult: 'no',
        Result: 'success',
      });
    }
  });

  it('a network that never comes and a relay that is not there hold a boot no longer than they may', async () => {
    const never =
      '[Unit]\nDefaultDependencies=no\nBefore=network-online.target\n[Service]\nType=oneshot\nExecStart=sleep infinity\n';
    machine = await SystemdMachine.boot(
      {
        ...agentFiles(place),
        ...asked('lamplighter-agent-boot.service'),
        '/etc/systemd/system/wait-online.service': `${never}TimeoutStartSec=infinity\n`,
        ...dropIn('network-online.target', 'wait', '[Unit]\nWants=wait-online.service\n'),
      },
      ['lamplighter-agent-boot.service', 'ssh.service'],
    );
    const ssh = await machine.untilUnit('ssh.service', 'is up', (now) => now['ActiveState'] === 'active');
    expect(await machine.unit('network-online.target')).toMatchObject({ ActiveState: 'inactive' });
    expect(await machine.unit('wait-online.service')).toMatchObject({ ActiveState: 'activating' });
    // Degraded, and no failure of the boot: own sources and seed are in the kernel all the same.
    const agent = await machine.unit('lamplighter-agent-boot.service');
    expect(agent).toMatchObject({ ActiveState: 'active', Result: 'success', ExecMainStatus: '2' });
    const network = await machine.unit('lamplighter-network.service');
    expect(network).toMatchObject({ ActiveState: 'active', Result: 'success' });
    const heldS =
      seconds(ssh['ExecMainStartTimestampMonotonic']) - seconds(network['ExecMainStartTimestampMonotonic']);
    expect(heldS).toBeGreaterThan(9);
    expect(heldS).toBeLessThan(10 + 15);
  });
});
