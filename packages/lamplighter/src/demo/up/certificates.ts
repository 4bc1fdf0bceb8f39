import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { Environment } from '../../local/environment.js';
import type { Layout } from './files.js';
import type { CommandLine } from './processes.js';

/** A certificate is made again when it has less than this left. */
const LEAST_LEFT_MS = 24 * 3_600_000;

/**
 * The commands that make the CA and the three certificates of the chain, those left out that are not needed any more.
 */
export async function certificateCommands(environment: Environment, layout: Layout): Promise<CommandLine[]> {
  const { fs } = environment;
  const isGood = async (name: string): Promise<boolean> => {
    try {
      const certificate = new X509Certificate(await fs.readFile(join(layout.certificates, `${name}.pem`)));
      return Date.parse(certificate.validTo) - Date.now() > LEAST_LEFT_MS;
    } catch {
      return false;
    }
  };
  const exists = (path: string): Promise<boolean> =>
    fs.access(path).then(
      () => true,
      () => false,
    );

  const commands: CommandLine[] = (await exists(join(layout.ca, 'ca.key')))
    ? []
    : [['ca', 'init', layout.ca]];
  for (const { role, name, address } of [
    { role: 'office', name: 'office', address: ['--ip', '127.0.0.1'] },
    { role: 'relay', name: 'relay', address: ['--ip', '127.0.0.1'] },
    { role: 'machine', name: 'machine', address: [] },
  ]) {
    if (commands.length === 0 && (await isGood(name))) continue;
    const issue = ['ca', 'issue', '--ca', layout.ca, '--role', role, '--name', name];
    commands.push(issue.concat(address, '--out', layout.certificates));
  }
  return commands;
}
