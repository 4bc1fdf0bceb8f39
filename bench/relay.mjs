// A relay with a CA of its own in a temporary folder, made by the commands a user would type.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atExit, freePort, LAMPLIGHTER, startServer } from './processes.mjs';

const lamplighter = (...args) => execFileSync(process.execPath, [LAMPLIGHTER, ...args]);

/** The most there can be: one machine asks here for what thousands would. */
const NO_QUOTA = { beaconsPerMinute: 6_000_000, beaconBurst: 6_000_000, connections: 65_536 };

/**
 * A folder with `ca`, `relay`, `machine` certificates and the configurations of both. `remove` deletes it.
 */
export async function makeFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'lamplighter-bench-'));
  const file = (name) => join(folder, name);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const forget = atExit(remove);
  lamplighter('ca', 'init', file('ca'));
  const issue = ['ca', 'issue', '--ca', file('ca'), '--out', folder];
  lamplighter(...issue, '--role', 'relay', '--name', 'relay', '--ip', '127.0.0.1');
  lamplighter(...issue, '--role', 'machine', '--name', 'machine');
  const [port, adminPort] = [await freePort(), await freePort()];
  const tls = (name) => ({ ca: 'ca.pem', cert: `${name}.pem`, key: `${name}.key` });
  // JSON is YAML.
  const relay = {
    name: 'relay',
    state: 'state',
    tls: tls('relay'),
    listen: { host: '127.0.0.1', port },
    admin: { port: adminPort },
    quotas: { machine: NO_QUOTA },
    sources: [{ kind: 'timing' }, { kind: 'os' }],
    outlets: [{ kind: 'beacon' }],
  };
  const agent = {
    tls: tls('machine'),
    relays: [{ name: 'relay', url: `https://127.0.0.1:${port}` }],
    kernel: { device: '/dev/random' },
  };
  writeFileSync(file('relay.yaml'), JSON.stringify(relay));
  writeFileSync(file('agent.yaml'), JSON.stringify(agent));
  return { file, port, adminPort, remove: () => (remove(), forget()) };
}

/** The machine's side of mutual TLS. @param {(name: string) => string} file */
export const machineTls = (file) => ({
  ca: readFileSync(file('ca.pem')),
  cert: readFileSync(file('machine.pem')),
  key: readFileSync(file('machine.key')),
});

/**
 * Starts the relay. With LAMPLIGHTER_PROFILE set to a folder it leaves a CPU profile there when it stops.
 * @param {{ file: (name: string) => string, port: number }} folder
 * @param {string} [node] the Node that runs it
 */
export function startRelay({ file, port }, node = process.execPath) {
  const profiles = process.env.LAMPLIGHTER_PROFILE;
  const profiling = profiles ? ['--cpu-prof', '--cpu-prof-dir', profiles] : [];
  const command = [node, ...profiling, LAMPLIGHTER, 'node', '--config', file('relay.yaml')];
  return startServer(command, { port, log: file('relay.log') });
}

/** `POST /v1/beacon` as it goes over the wire. @param {Buffer} nonce */
export const beaconRequest = (nonce) =>
  Buffer.concat([
    Buffer.from('POST /v1/beacon HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n'),
    Buffer.from(`content-length: ${nonce.length}\r\n\r\n`),
    nonce,
  ]);
