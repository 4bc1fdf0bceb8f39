import type { Command } from 'commander';
import { Option } from 'commander';
import { hex, httpsUrl, integer } from './option-parsers.js';
import { during } from './progress.js';
import { untilStopped } from './terminal.js';

interface BeaconOptions {
  from: URL;
  cert: string;
  key: string;
  ca: string;
  peer?: string;
  nonce?: Uint8Array;
  format: 'raw' | 'hex' | 'base64';
  deadline: number;
}

/** `lamplighter beacon --from URL --cert … --key … --ca …` */
export function addBeaconCommand(program: Command): void {
  program
    .command('beacon')
    .description('fetch one beacon from a relay and print it')
    .requiredOption('--from <url>', 'the relay, https://host:port', httpsUrl)
    .requiredOption('--cert <file>', 'own certificate, PEM')
    .requiredOption('--key <file>', 'own private key, PEM')
    .requiredOption('--ca <file>', 'the private CA’s certificate, PEM')
    .option('--peer <name>', 'the name in the relay’s certificate, instead of its host name')
    .option('--nonce <hex>', 'up to 64 bytes; 32 random ones when left out', hex)
    .addOption(
      new Option('--format <format>', 'how it is printed').choices(['raw', 'hex', 'base64']).default('hex'),
    )
    .option('--deadline <ms>', 'how long the relay is given', integer(1, 300_000), 5_000)
    .action(async ({ from, cert, key, ca, peer, nonce, format, deadline }: BeaconOptions) => {
      const [{ fetchBeacon }, { loadTlsFiles }, { systemEnvironment }] = await Promise.all([
        import('../wire/beacon.js'),
        import('../identity/tls-files.js'),
        import('../local/environment.js'),
      ]);
      const environment = systemEnvironment();
      const tls = await loadTlsFiles({ ca, cert, key });
      const asking = fetchBeacon(
        {
          url: from,
          tls,
          roles: ['relay'],
          connect: (endpoint) => environment.connect(endpoint),
          ...(peer && { name: peer }),
        },
        { nonce: nonce ?? environment.runtimeRandom(32), deadlineMs: deadline, signal: untilStopped() },
      );
      const { bytes } = await during(`asking ${from.host}`, asking);
      process.stdout.write(format === 'raw' ? bytes : `${Buffer.from(bytes).toString(format)}\n`);
    });
}
