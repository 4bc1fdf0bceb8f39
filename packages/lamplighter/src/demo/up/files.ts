import { join } from 'node:path';
import type { Environment } from '../../local/environment.js';

/** Ports on 127.0.0.1, one a listener. */
export interface Ports {
  readonly wall: number;
  readonly officeFeed: number;
  readonly officeAdmin: number;
  readonly relay: number;
  readonly relayAdmin: number;
}

/** Where everything lies, below one folder that stays readable after `up` has ended. */
export interface Layout {
  readonly directory: string;
  readonly ca: string;
  readonly certificates: string;
  readonly logs: string;
  readonly officeConfig: string;
  readonly relayConfig: string;
  readonly agentConfig: string;
}

export function layoutOf(directory: string): Layout {
  const at = (...path: string[]): string => join(directory, ...path);
  return {
    directory: at(),
    ca: at('ca'),
    certificates: at('certificates'),
    logs: at('logs'),
    officeConfig: at('office.yaml'),
    relayConfig: at('relay.yaml'),
    agentConfig: at('agent.yaml'),
  };
}

/**
 * Writes the three configurations: plain files that could as well have been written by hand.
 * @param camera - what the office watches: the virtual wall's stream or a real camera
 */
export async function writeConfigurations(
  environment: Environment,
  layout: Layout,
  ports: Ports,
  camera: string,
): Promise<void> {
  const { fs } = environment;
  await fs.mkdir(layout.logs, { recursive: true, mode: 0o700 });
  await fs.writeFile(layout.officeConfig, office(ports, camera), { mode: 0o600 });
  await fs.writeFile(layout.relayConfig, relay(ports), { mode: 0o600 });
  await fs.writeFile(layout.agentConfig, agent(ports), { mode: 0o600 });
}

const HEADER = '# Written by `lamplighter up`, which writes it again at every start. Copy it to keep it.\n';

const tls = (name: string): string => `tls:
  ca: certificates/ca.pem
  cert: certificates/${name}.pem
  key: certificates/${name}.key
`;

// JSON strings are YAML strings, so whatever stands in the address of a camera stays one value.
const office = (
  ports: Ports,
  camera: string,
): string => `${HEADER}# The office: by the lamps. It watches the camera and feeds the relays.
name: office
state: state/office
${tls('office')}listen: { host: 127.0.0.1, port: ${ports.officeFeed} }
admin: { host: 127.0.0.1, port: ${ports.officeAdmin} }
sources:
  - kind: camera
    name: wall
    url: ${JSON.stringify(camera)}
  - kind: timing
  - kind: os
outlets:
  - kind: feed
`;

const relay = (
  ports: Ports,
): string => `${HEADER}# The relay: in a data centre. It hears the office, mixes in its own, and gives beacons to machines.
name: relay
state: state/relay
${tls('relay')}listen: { host: 127.0.0.1, port: ${ports.relay} }
admin: { host: 127.0.0.1, port: ${ports.relayAdmin} }
sources:
  - kind: feed
    name: office
    url: https://127.0.0.1:${ports.officeFeed}
    peer: office
  - kind: timing
  - kind: os
outlets:
  - kind: feed
  - kind: beacon
`;

const agent = (
  ports: Ports,
): string => `${HEADER}# The machine: it asks the relay for a beacon and seeds its kernel.
${tls('machine')}relays:
  - name: relay
    url: https://127.0.0.1:${ports.relay}
    peer: relay
require: 1
deadlineMs: 5000
state: state/machine
report: state/machine/agent.json
`;
