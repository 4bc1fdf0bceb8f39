import { afterEach, describe, expect, it, vi } from 'vitest';
import { testNode } from './context.fixture.js';
import type { Outlet } from './outlet.js';
import { WITHIN } from '../within.fixture.js';

/** An outlet that was not started, and a real client for it. */
export interface OutletUnderTest {
  readonly outlet: Outlet;
  /** Asks for output as a real client would. @returns the bytes, or undefined when told that it is not ready */
  readonly ask: () => Promise<Uint8Array | undefined>;
  readonly cleanUp: () => Promise<void>;
}

const STOP_DEADLINE_MS = 1_000;
const SERVED_WITHIN_MS = 10_000;

/**
 * What every outlet must do, run by every outlet's own tests.
 * @param kind - the kind it must report
 * @param make - the outlet and a client of its own
 */
export function describeOutletCompliance(kind: string, make: () => Promise<OutletUnderTest>): void {
  describe(`${kind} as an outlet`, () => {
    const made: OutletUnderTest[] = [];
    const never = new AbortController().signal;

    async function fresh(): Promise<OutletUnderTest> {
      const under = await make();
      made.push(under);
      return under;
    }

    afterEach(async () => {
      for (const { outlet, cleanUp } of made.splice(0)) {
        await outlet.stop(STOP_DEADLINE_MS);
        await cleanUp();
      }
    });

    it('has a kind, and has handed out nothing yet', async () => {
      const { outlet } = await fresh();
      expect(outlet.kind).toBe(kind);
      expect(outlet.status()).toMatchObject({ state: 'waiting', bytes: 0 });
    });

    it('hands out nothing before the node is seeded, and something after', async () => {
      const { outlet, ask } = await fresh();
      const node = testNode();
      await outlet.start(node.context, never);
      expect(await ask()).toBeUndefined();
      expect(outlet.status().bytes).toBe(0);
      node.seed();
      await vi.waitFor(async () => expect((await ask())?.length).toBeGreaterThan(0), SERVED_WITHIN_MS);
      await vi.waitFor(() => expect(outlet.status().state).toBe('ok'), WITHIN);
      expect(outlet.status().bytes).toBeGreaterThan(0);
    });

    it('draws from streams of its own', async () => {
      const { outlet } = await fresh();
      const { context } = testNode();
      const opened: string[] = [];
      await outlet.start(
        {
          ...context,
          stream(label) {
            opened.push(label);
            return context.stream(label);
          },
        },
        never,
      );
      expect(opened.length).toBeGreaterThan(0);
      expect(new Set(opened).size).toBe(opened.length);
    });

    it('never hands out the same bytes twice', async () => {
      const { outlet, ask } = await fresh();
      const node = testNode();
      node.seed();
      await outlet.start(node.context, never);
      const seen = new Set<string>();
      for (let i = 0; i < 20; i += 1) seen.add(Buffer.from((await ask()) ?? []).toString('hex'));
      expect(seen.has('')).toBe(false);
      expect(seen.size).toBe(20);
    });

    it('has a status that is plain, small data', async () => {
      const { outlet } = await fresh();
      await outlet.start(testNode().context, never);
      expect(JSON.stringify(outlet.status()).length).toBeLessThan(2_000);
      for (const value of Object.values(outlet.status().details)) {
        expect(['string', 'number', 'boolean']).toContain(typeof value);
      }
    });

    it('stops within its deadline, twice if asked, also when it was never seeded', async () => {
      const { outlet } = await fresh();
      await outlet.start(testNode().context, never);
      await outlet.stop(STOP_DEADLINE_MS);
      await outlet.stop(STOP_DEADLINE_MS);
      expect(outlet.status().state).toBe('stopped');
    });
  });
}
