import type { Command } from 'commander';
import { integer } from './option-parsers.js';
import { answer, stopped, untilStopped } from './terminal.js';

/** `lamplighter wall` */
export function addWallCommand(program: Command): void {
  program
    .command('wall')
    .description('serve the virtual lamp wall: a simulation, for those who have no lamps at hand')
    .option('--port <n>', 'port on 127.0.0.1; 0 takes a free one', integer(0, 65_535), 9601)
    .option('--lamps <n>', 'how many lamps', integer(1, 24), 16)
    .action(async ({ port, lamps }: { port: number; lamps: number }) => {
      const { startWall } = await import('../demo/wall/server.js');
      const stopping = untilStopped();
      const wall = await startWall({ port, lamps });
      answer(wall.url);
      await stopped(stopping);
      await wall.stop();
    });
}
