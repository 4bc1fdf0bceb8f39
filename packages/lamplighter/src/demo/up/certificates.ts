import { join } from 'node:path';
import { loadTlsFiles } from '../../identity/tls-files.js';
import type { Environment } from '../../local/environment.js';
import { isThere } from '../../local/is-there.js';
import type { Layout } from './files.js';
import type { CommandLine } from './processes.js';

/** A certificate is made again when it has less than this left. */
const LEAST_LEFT_MS = 24 * 3_600_000;

/**
 * The commands that make the CA and the three certificates of the chain, those left out that are not needed any more.
 */
export async function certificateCommands(environment: Environment, layout: Layout): Promise<CommandLine[]> {
  const file = (name: string): string => join(layout.certificates, name);
  const isGood = async (name: string): Promise<boolean> => {
    try {
      const paths = { ca: join(layout.ca, 'ca.pem'), cert: file(`${name}.pem`), key: file(`${name}.key`) };
      const { notAfter } = await loadTlsFiles(paths);
      return notAfter.getTime() - Date.now() > LEAST_LEFT_MS;
    } catch {
      return false;
    }
  };

  const commands: CommandLine[] = (await isThere(environment, join(layout.ca, 'ca.key')))
    ? []
    : [['ca', 'init', layout.ca]];
  const hasNewCa = commands.length > 0;
  // What is there and no good any more is replaced; the CA's own files never are.
  const replace = (await isThere(environment, layout.certificates)) ? ['--replace'] : [];
  for (const { role, name, address } of [
    { role: 'office', name: 'office', address: ['--ip', '127.0.0.1'] },
    { role: 'relay', name: 'relay', address: ['--ip', '127.0.0.1'] },
    { role: 'machine', name: 'machine', address: [] },
  ]) {
    if (!hasNewCa && (await isGood(name))) continue;
    const issue = ['ca', 'issue', '--ca', layout.ca, '--role', role, '--name', name];
    commands.push([...issue, ...address, ...replace, '--out', layout.certificates]);
  }
  return commands;
}
