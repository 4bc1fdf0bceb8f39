import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { decodeSeedFile } from '../packages/lamplighter/dist/local/seed/seed-record.js';
import { type EnrolPort, enrolPort } from './enroll.fixture.js';
import { Place } from './place.fixture.js';
import { Command, endAll, freePorts, run, untilStatus } from './processes.fixture.js';

/** Who a machine is, by what lies on its disk; no two machines have any of it in common. */
export interface WhoItIs {
  readonly name: string;
  readonly serial: string;
  /** Hashes. */
  readonly key: string;
  readonly seed: string;
}

/** For tests: a CA, a relay with beacons, and a port at which machines enrol. */
export class Fleet {
  readonly place: Place;
  readonly enrolment: EnrolPort;
  readonly relay: Command;

  static async make(): Promise<Fleet> {
    const place = await Place.make();
    const { listen, admin } = await freePorts('listen', 'admin');
    const sources = [{ kind: 'timing' }, { kind: 'os' }];
    const file = place.writeNode({ name: 'relay', listen, admin, sources, outlets: [{ kind: 'beacon' }] });
    const relay = new Command(['node', '--config', file]);
    await untilStatus(admin, 'the relay is ready', ({ state }) => state === 'ready');
    const options = { ca: place.path('ca'), tls: place.tls('relay'), beaconPort: listen };
    return new Fleet(place, await enrolPort(options), relay);
  }

  private constructor(place: Place, enrolment: EnrolPort, relay: Command) {
    this.place = place;
    this.enrolment = enrolment;
    this.relay = relay;
  }

  /** @returns a new token for a machine of that name, as the command line prints it */
  async token(name: string): Promise<string> {
    const made = await run(['token', 'create', '--name', name, '--ca', this.place.path('ca')]);
    if (made.code !== 0) throw new Error(made.stderr);
    return made.stdout;
  }

  async end(): Promise<void> {
    await this.enrolment.stop();
    await endAll();
    this.place.remove();
  }
}

/** For tests: who a machine is whose folders these are. @throws Error when it is nobody */
export function whoIsIn(etc: string, state: string): WhoItIs {
  const pem = readFileSync(`${etc}/identity.pem`);
  const certificate = new X509Certificate(pem);
  const publicKey = createPublicKey(createPrivateKey(pem)).export({ type: 'spki', format: 'der' });
  const record = decodeSeedFile(readFileSync(`${state}/seed`));
  if (typeof record === 'string') throw new Error(record);
  const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  const { subjectAltName = '', serialNumber: serial } = certificate;
  return { name: subjectAltName, serial, key: hash(publicKey), seed: hash(record.seed) };
}
