import { LiveBlock, statusBlock } from '../demo/up/screen.js';
import type { UpScreen } from '../demo/up/up.js';

/**
 * What `up` shows: each event a line; under them, on a terminal, one status block redrawn in place.
 * @param out - where it goes
 * @param plainEveryMs - how often the block is printed where there is no terminal
 */
export function terminalScreen(out: NodeJS.WriteStream, plainEveryMs: number): UpScreen {
  const block = out.isTTY ? new LiveBlock(out) : undefined;
  let plainAtMs = 0;

  function line(text: string): void {
    block?.clear();
    out.write(`${text}\n`);
  }

  return {
    command: (args) => line(`$ lamplighter ${args.join(' ')}`),
    tell: (hop, text) => line(`${new Date().toTimeString().slice(0, 8)}  ${hop.padEnd(8)} ${text}`),
    show(chain, urls, kernelSeededAt) {
      if (block === undefined) {
        // Nothing to redraw: the first block when the kernel is seeded, then one now and then.
        if (kernelSeededAt === undefined || Date.now() < plainAtMs) return;
        plainAtMs = Date.now() + plainEveryMs;
        for (const text of statusBlock(chain, { urls, kernelSeededAt })) line(text);
        return;
      }
      block.draw(statusBlock(chain, { urls, kernelSeededAt }));
    },
  };
}
