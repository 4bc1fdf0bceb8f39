import fs from 'node:fs/promises';
import { join } from 'node:path';
import { agentConfig } from '../agent/config.js';
import type { MadeCertificate, TestAuthority } from '../identity/made-certificates.fixture.js';
import { systemEnvironment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { type Subject, systemRuntime } from './subject.js';

export const DAY_MS = 86_400_000;

/** Where files go, and whose certificates they are. */
export interface Ground {
  readonly folder: string;
  readonly authority: TestAuthority;
}

/** A machine whose agent has this certificate and asks these relays. */
export async function agentWith(
  { folder, authority }: Ground,
  certificate: MadeCertificate = {},
  relays: readonly { name: string; url: string; peer?: string }[] = [
    { name: 'one', url: 'https://127.0.0.1:1' },
  ],
  more: object = {},
): Promise<Subject> {
  const { cert, key } = await authority.make({
    role: 'machine',
    name: 'web-1',
    notAfter: new Date(Date.now() + 20.5 * DAY_MS),
    ...certificate,
  });
  const at = (name: string): string => join(folder, name);
  await fs.writeFile(at('ca.pem'), authority.pem);
  await fs.writeFile(at('web-1.pem'), cert);
  await fs.writeFile(at('web-1.key'), key, { mode: 0o600 });
  const tls = { ca: at('ca.pem'), cert: at('web-1.pem'), key: at('web-1.key') };
  return {
    environment: systemEnvironment(),
    native: systemNative,
    runtime: systemRuntime(),
    state: join(folder, 'state'),
    agent: { file: 'agent.yaml', config: agentConfig.parse({ tls, relays, ...more }) },
  };
}
