import { setTimeout as pause } from 'node:timers/promises';
import { LamplighterError } from '@lamplighter/core';
import { LiveBlock } from '../demo/up/screen.js';
import type { NodeStatus } from '../wire/status.js';
import { canRedraw, painter, widthOf } from './display.js';
import { wrapped } from './status-layout.js';
import { statusLines } from './status-table.js';
import { agoWords } from './status-words.js';
import { answer, explain } from './terminal.js';

/** How a node is watched. */
export interface StatusWatch {
  readonly where: string;
  /** Seconds between two looks; by what is drawn on when absent. */
  readonly everyS: number | undefined;
  readonly isJson: boolean;
  /** @throws LamplighterError when there is no answer */
  readonly look: () => Promise<NodeStatus>;
  readonly signal: AbortSignal;
}

const EVERY_S = { terminal: 1, elsewhere: 10 };

/** Looks again and again until told to stop. A node that does not answer is said to, and looked for on. */
export async function watchStatus({ where, everyS, isJson, look, signal }: StatusWatch): Promise<void> {
  const { stdout } = process;
  const screen = canRedraw(stdout) && !isJson ? new Screen(stdout) : undefined;
  const everyMs = 1_000 * (everyS ?? (screen === undefined ? EVERY_S.elsewhere : EVERY_S.terminal));
  let before: NodeStatus | undefined;
  let seenAt: string | undefined;
  while (!signal.aborted) {
    const startedMs = performance.now();
    try {
      const now = await look();
      const view = { where, width: widthOf(stdout), paint: painter(stdout), nowMs: Date.now() };
      if (isJson) answer(JSON.stringify(now));
      else if (screen === undefined) for (const line of [...statusLines(now, before, view), '']) answer(line);
      else screen.draw(statusLines(now, before, view));
      before = now;
      seenAt = new Date().toISOString();
    } catch (error) {
      if (signal.aborted) break;
      if (!(error instanceof LamplighterError)) throw error;
      before = undefined;
      if (screen === undefined) explain(error);
      else screen.draw(absenceLines(error, seenAt));
    }
    const restMs = Math.max(0, everyMs - (performance.now() - startedMs));
    await pause(restMs, undefined, { signal }).catch(() => undefined);
  }
  screen?.stop();
}

function absenceLines({ message, code, hint }: LamplighterError, seenAt: string | undefined): string[] {
  const { stdout } = process;
  const text = `${message} [${code}]`;
  const seen = seenAt === undefined ? 'not seen yet' : `last seen ${agoWords(seenAt, Date.now())}`;
  return [
    ...wrapped(text, widthOf(stdout)).map((line) => painter(stdout)('bad', line)),
    ...(hint === undefined ? [] : wrapped(`hint: ${hint}`, widthOf(stdout))),
    seen,
  ];
}

/** Lines drawn over those before, as many as there is room for. */
class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #block: LiveBlock;
  /** A terminal that is made narrower breaks lines anew: nobody knows then where the block begins. */
  readonly #onResize = (): void => void this.#out.write('\u001b[2J\u001b[H');

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#block = new LiveBlock(out);
    out.on('resize', this.#onResize);
  }

  draw(lines: readonly string[]): void {
    // The cursor stands below the last line.
    const room = Math.max(2, (this.#out.rows || 24) - 1);
    const hidden = lines.length - room;
    this.#block.draw(hidden <= 0 ? lines : [...lines.slice(0, room - 1), `… ${hidden + 1} more lines`]);
  }

  stop(): void {
    this.#out.off('resize', this.#onResize);
  }
}
