import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Place } from './place.fixture.js';
import {
  ADMIN,
  dropIn,
  identity,
  NODE_STATE,
  nodeFiles,
  needsSystemd,
  PORT,
  relay,
  seconds,
} from './systemd-files.fixture.js';
import { type MachineFiles, shipped, shippedUnits, SystemdMachine } from './systemd-machine.fixture.js';

let place: Place;
let machine: SystemdMachine | undefined;

beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
afterEach(() => machine?.end());

/** Is silent on one port until somebody comes to the other. */
const TRNG = `
const { createServer } = require('node:net');
const peers = new Set();
createServer((peer) => peers.add(peer.on('error', () => peers.delete(peer)))).listen(7777, '127.0.0.1');
createServer(() => { for (const peer of peers) peer.write(Buffer.alloc(64, 7)); }).listen(7778, '127.0.0.1');
`;

needsSystemd('a node under systemd', () => {
  it('a node follows a reload, is started anew when it hangs, and ends well', async () => {
    machine = await SystemdMachine.boot(
      {
        ...nodeFiles(place),
        ...dropIn('lamplighter-node.service', 'watchdog', '[Service]\nWatchdogSec=2\n'),
      },
      ['lamplighter-node.service'],
    );
    const up = await machine.untilUnit(
      'lamplighter-node.service',
      'is up',
      (now) => now['ActiveState'] === 'active',
    );
    await machine.succeed('systemctl', 'reload', 'lamplighter-node.service');
    await machine.untilUnit(
      'lamplighter-node.service',
      'is up again',
      (now) => now['SubState'] === 'running',
    );
    const status = await machine.succeed('curl', '-s', `http://127.0.0.1:${ADMIN}/v1/status`);
    expect(JSON.parse(status)).toMatchObject({ configuration: { reloads: 1 } });

    await machine.succeed('kill', '-STOP', up['MainPID'] ?? '');
    const anew = await machine.untilUnit(
      'lamplighter-node.service',
      'is up anew',
      (now) => now['ActiveState'] === 'active' && now['NRestarts'] === '1',
    );
    expect(anew['MainPID']).not.toBe(up['MainPID']);
    expect(await machine.journal()).toContain('Watchdog timeout');

    await machine.succeed('systemctl', 'stop', 'lamplighter-node.service');
    expect(await machine.unit('lamplighter-node.service')).toMatchObject({
      ActiveState: 'inactive',
      Result: 'success',
      ExecMainStatus: '0',
    });
  });

  it('a node that waits for a source it requires is not killed for it, and says what it waits for', async () => {
    const trng = { kind: 'process', name: 'trng', required: true, from: { connect: 'tcp:127.0.0.1:7777' } };
    const short = '[Service]\nTimeoutStartSec=3\n';
    machine = await SystemdMachine.boot(
      {
        ...nodeFiles(place),
        ...dropIn('lamplighter-node.service', 'short', short),
        '/etc/trng.cjs': TRNG,
        '/etc/systemd/system/trng.service': '[Service]\nExecStart=node /etc/trng.cjs\n',
        '/etc/lamplighter/node.yaml': relay(NODE_STATE, PORT, ADMIN, [trng]).replace(
          '{',
          '{"seedDeadlineMs":1000,',
        ),
      },
      ['trng.service', 'lamplighter-node.service'],
    );
    const waits = await machine.untilUnit(
      'lamplighter-node.service',
      'outlived its time to start',
      (now) => now['SubState'] === 'start' && sinceStartS(now) > 5,
    );
    expect(waits).toMatchObject({ ActiveState: 'activating', NRestarts: '0' });
    await machine.untilUnit('lamplighter-node.service', 'says why', (now) =>
      /trng/.test(now['StatusText'] ?? ''),
    );
    // Now it speaks.
    await machine.run('curl', '-s', '--max-time', '1', 'http://127.0.0.1:7778');
    await machine.untilUnit('lamplighter-node.service', 'is up', (now) => now['ActiveState'] === 'active');
  });

  it('several nodes of one machine are one user, and have a state each', async () => {
    const states = ['a', 'b'].map((name) => `/var/lib/lamplighter-node-${name}`);
    machine = await SystemdMachine.boot(
      {
        ...shippedUnits(),
        ...identity(place, 'relay', states[0] ?? ''),
        ...identity(place, 'relay', states[1] ?? ''),
        '/etc/lamplighter/a.yaml': relay(states[0], PORT, ADMIN),
        '/etc/lamplighter/b.yaml': relay(states[1], PORT + 1, ADMIN + 1),
        ...dropIn('lamplighter-node@.service', 'authority', shipped('drop-ins/authority.conf')),
        '/usr/lib/sysusers.d/lamplighter.conf': shipped('sysusers.d/lamplighter.conf'),
      },
      [],
    );
    await machine.succeed('systemd-sysusers');
    for (const name of ['a', 'b']) {
      await machine.succeed('systemctl', 'start', `lamplighter-node@${name}.service`);
      await machine.untilUnit(
        `lamplighter-node@${name}.service`,
        'is up',
        (now) => now['ActiveState'] === 'active',
      );
    }
    const owners = await machine.succeed('stat', '-L', '-c', '%u %a', ...states, '/var/lib/lamplighter-ca');
    const [first = ''] = owners.split('\n');
    expect(owners.split('\n')).toEqual([first, first, first]);
    expect(first).toMatch(/^[1-9]\d+ 700$/);
    // The CA's folder is of that user for whoever types a command.
    const who = ['runuser', '-u', 'lamplighter', '--', 'touch', '/var/lib/lamplighter-ca/touched'];
    await machine.succeed(...who);
  });

  it('each drop-in of a node gives what it is for, and without it there is none', async () => {
    // As sources/camera/sandbox.ts shuts a decoder in.
    const cage =
      'prlimit --core=0 unshare -n -U -- setpriv --pdeathsig KILL --no-new-privs --inh-caps=-all --ambient-caps=-all -- true';
    const port = `node -e "require('node:net').createServer().listen(81, () => process.exit(0))"`;
    const trials = [
      ['camera', cage],
      ['low-port', port],
      ['hwrng', 'test -c /dev/hwrng'],
      ['tpm', 'test -c /dev/tpmrm0'],
      ['video', 'test -c /dev/video7'],
      ['kernel-log', `sh -c 'test -c /dev/kmsg && setpriv --dump | grep -q "Ambient capabilities: syslog"'`],
      ['authority', 'test -w /var/lib/lamplighter-ca'],
    ] as const;
    const instance = (name: string, command: string): MachineFiles => ({
      ...dropIn(
        `lamplighter-node@${name}.service`,
        'trial',
        `[Service]\nType=oneshot\nExecStart=\nExecStart=${command}\n`,
      ),
      [`/etc/lamplighter/${name}.yaml`]: '',
    });
    const files = trials.flatMap(([name, command]) => [
      instance(name, command),
      instance(`without-${name}`, command),
      dropIn(`lamplighter-node@${name}.service`, name, shipped(`drop-ins/${name}.conf`)),
    ]);
    const accounts = {
      '/usr/lib/sysusers.d/lamplighter.conf': `${shipped('sysusers.d/lamplighter.conf')}g tss -\ng video -\n`,
    };
    machine = await SystemdMachine.boot(
      Object.assign({}, shippedUnits(), accounts, ...files) as MachineFiles,
      [],
    );
    await machine.succeed('systemd-sysusers');
    for (const device of ['hwrng', 'tpmrm0', 'video7', 'kmsg'])
      await machine.succeed('mknod', `/dev/${device}`, 'c', '1', '9');
    for (const [name] of trials) {
      await machine.succeed('systemctl', 'start', `lamplighter-node@${name}.service`);
      expect(
        await machine.run('systemctl', 'start', `lamplighter-node@without-${name}.service`),
        name,
      ).toMatchObject({ code: 1 });
    }
  });
});

/** How long ago a unit began to start; Node's monotonic clock is systemd's. */
function sinceStartS(unit: Readonly<Record<string, string>>): number {
  return Number(process.hrtime.bigint()) / 1e9 - seconds(unit['InactiveExitTimestampMonotonic']);
}
