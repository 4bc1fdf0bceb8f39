import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { UpSummary } from '../demo/up/up.js';
import { answer, say, untilStopped } from './terminal.js';

interface UpCommandOptions {
  state: string;
  camera?: string;
  once?: true;
  json?: true;
}

/** Seconds between two status lines where there is no terminal to redraw a block on. */
const PLAIN_EVERY_MS = 30_000;

/** `lamplighter up` */
export function addUpCommand(program: Command): void {
  program
    .command('up')
    .description('run the whole chain on this machine: lamps, office, relay, machine, kernel')
    .option('--state <dir>', 'where configurations, certificates and logs are left', '.lamplighter')
    .option(
      '--camera <where>',
      'a real camera instead of the virtual wall: http(s)://…, rtsp://…, /dev/videoN, a file',
    )
    .option('--once', 'end as soon as the kernel is seeded')
    .option('--json', 'print one JSON object last; what happens goes to standard error')
    .addHelpText(
      'after',
      '\nThe virtual wall is a simulation and is credited nothing.\nAll cameras but http(s) need ffmpeg: apt-get install ffmpeg',
    )
    .action(async ({ state, camera, once, json }: UpCommandOptions) => {
      const [{ up }, { systemEnvironment }, { terminalScreen }] = await Promise.all([
        import('../demo/up/up.js'),
        import('../local/environment.js'),
        import('./up-screen.js'),
      ]);
      // A closed terminal must not leave the chain running where nobody sees it.
      const stopping = untilStopped('SIGHUP');
      const summary = await up(
        {
          directory: state,
          once: once === true,
          ...(camera !== undefined && { camera: absolute(camera) }),
        },
        systemEnvironment(),
        terminalScreen(json ? process.stderr : process.stdout, PLAIN_EVERY_MS),
        stopping,
      );
      if (json) answer(JSON.stringify(summary ?? { seeded: false }));
      else if (once) describe(summary);
      if (once && !summary?.seeded) process.exitCode = 1;
    });
}

/** The office reads its configuration in another folder: a file must be named from the root. */
const absolute = (camera: string): string => (existsSync(camera) ? resolve(camera) : camera);

function describe(summary: UpSummary | undefined): void {
  if (summary === undefined) {
    say('lamplighter: stopped before the kernel was seeded');
    return;
  }
  answer(`seeded: ${summary.beacons} beacon, basis ${summary.basis.join(', ') || 'nothing claimed'}`);
}
