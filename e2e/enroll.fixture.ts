import { loadTlsFiles } from '../packages/lamplighter/dist/identity/tls-files.js';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { enrollMaterial, enrollService } from '../packages/lamplighter/dist/node/fleet/enroll-service.js';
import type { EnrollStatus } from '../packages/lamplighter/dist/wire/fleet-status.js';
import { Listener } from '../packages/lamplighter/dist/wire/listener.js';

/** For tests: the enrolment service of a relay, in this process, so that a test can look into it. */
export interface EnrolPort {
  readonly port: number;
  status(): EnrollStatus;
  stop(): Promise<void>;
}

/**
 * @param options - `ca`: the CA's folder; `tls`: a relay's files; `beaconPort`: what new machines are told
 */
export async function enrolPort(options: {
  readonly ca: string;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly beaconPort: number;
}): Promise<EnrolPort> {
  const listener = new Listener(enrollMaterial(await loadTlsFiles(options.tls)), { access: 'server' });
  const { status } = enrollService({
    listener,
    folder: options.ca,
    lifeMs: 3_600_000,
    environment: systemEnvironment(),
    beaconPort: options.beaconPort,
    isRevoked: () => false,
  });
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  return { port, status, stop: () => listener.stop(0) };
}
