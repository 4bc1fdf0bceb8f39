import { readFileSync } from 'node:fs';
import { describe } from 'vitest';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import type { Place } from './place.fixture.js';
import { type MachineFiles, shipped, shippedUnits } from './systemd-machine.fixture.js';

/** Of a relay, in its machine. */
export const PORT = 9443;
export const ADMIN = 9600;
/** Who makes keys at a boot: it tells when it began. */
export const SSH = '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n';
export const NODE_STATE = '/var/lib/lamplighter-node';

/** For tests: a drop-in of a unit. */
export const dropIn = (unit: string, name: string, content: string): MachineFiles => ({
  [`/etc/systemd/system/${unit}.d/${name}.conf`]: content,
});

/** For tests: a holder's certificate, its key and its CA's, in a folder. */
export function identity(place: Place, name: string, folder: string): MachineFiles {
  const { ca, cert, key } = place.tls(name);
  const entries = Object.entries({ 'ca.pem': ca, [`${name}.pem`]: cert, [`${name}.key`]: key });
  return Object.fromEntries(entries.map(([file, from]) => [`${folder}/${file}`, readFileSync(from, 'utf8')]));
}

/** For tests: the configuration of a relay. */
export function relay(
  state = NODE_STATE,
  port = PORT,
  admin = ADMIN,
  sources: readonly object[] = [],
): string {
  return JSON.stringify({
    name: 'relay',
    state,
    tls: { ca: `${state}/ca.pem`, cert: `${state}/relay.pem`, key: `${state}/relay.key` },
    listen: { host: '127.0.0.1', port },
    admin: { port: admin },
    sources: [{ kind: 'timing' }, { kind: 'os' }, ...sources],
    outlets: [{ kind: 'beacon' }],
  });
}

const AGENT = JSON.stringify({
  tls: { ca: 'ca.pem', cert: 'machine.pem', key: 'machine.key' },
  relays: [{ name: 'relay', url: `https://127.0.0.1:${PORT}` }],
  deadlineMs: 2_000,
});

/** For tests: a machine with an agent, and with somebody who makes keys at a boot. */
export const agentFiles = (place: Place): MachineFiles => ({
  ...shippedUnits(),
  ...identity(place, 'machine', '/etc/lamplighter'),
  '/etc/lamplighter/agent.yaml': AGENT,
  '/etc/systemd/system/ssh.service': SSH,
});

/** For tests: a machine with a relay. */
export const nodeFiles = (place: Place): MachineFiles => ({
  ...shippedUnits(),
  ...identity(place, 'relay', NODE_STATE),
  '/etc/lamplighter/node.yaml': relay(),
});

/** For tests: what asks for these units in a container, as the machines of these tests are. */
export const asked = (...units: readonly string[]): MachineFiles =>
  Object.assign(
    {},
    ...units.map((unit) => dropIn(unit, 'container', shipped('drop-ins/container.conf'))),
  ) as MachineFiles;

/** For tests: seconds, of what systemd tells in microseconds. */
export const seconds = (monotonicUs: string | undefined): number => Number(monotonicUs) / 1e6;

/** A `describe` for tests in a machine of their own under systemd. */
export function needsSystemd(name: string, body: () => void): void {
  describe.skipIf(process.getuid?.() !== 0)('(needs root)', () => {
    needs('unshare', 'setpriv', 'nsenter', 'mount', 'systemctl', 'systemd-notify', 'curl')(name, body);
  });
}
