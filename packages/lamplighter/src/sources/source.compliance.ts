import { isPartLabel } from '@lamplighter/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { labelOf } from './round.js';
import type { Source } from './source.js';

/** A source whose real peer, device or child is there and speaking, for the compliance suite. */
export interface SourceUnderTest {
  readonly source: Source;
  /** Ends the peer. */
  readonly cleanUp: () => Promise<void>;
}

/** How long a healthy peer is given; far more than it needs, never waited out when all is well. */
const HEARD_WITHIN_MS = 10_000;

/**
 * What every source must do, run by every source's own tests.
 * @param kind - the kind it must report
 * @param make - a source that was not started, and a real peer for it
 */
export function describeSourceCompliance(kind: string, make: () => Promise<SourceUnderTest>): void {
  describe(`${kind} as a source`, () => {
    const made: SourceUnderTest[] = [];
    const started = new AbortController();

    async function fresh(): Promise<Source> {
      const under = await make();
      made.push(under);
      return under.source;
    }

    afterEach(async () => {
      for (const { source, cleanUp } of made.splice(0)) {
        await source.stop();
        await cleanUp();
      }
    });

    it('has a kind, and a label that a mix accepts', async () => {
      const source = await fresh();
      expect(source.kind).toBe(kind);
      expect(isPartLabel(labelOf(source))).toBe(true);
    });

    it('claims nothing before it has heard anything', async () => {
      const source = await fresh();
      const { state, basis } = source.status();
      expect(state).toBe('starting');
      expect(basis.physical).toBe(false);
    });

    it('is heard, and says so', async () => {
      const source = await fresh();
      const events: number[] = [];
      await source.start({ hear: (bytes) => events.push(bytes.length) }, started.signal);
      await vi.waitFor(() => expect(events.length).toBeGreaterThan(0), HEARD_WITHIN_MS);
      expect(Math.min(...events)).toBeGreaterThan(0);
      await vi.waitFor(
        () => expect(['ok', 'degraded', 'ended']).toContain(source.status().state),
        HEARD_WITHIN_MS,
      );
    });

    it('gives every round other bytes, which the caller owns', async () => {
      const source = await fresh();
      await source.start({ hear: () => undefined }, started.signal);
      const first = await source.sample(AbortSignal.timeout(HEARD_WITHIN_MS));
      expect(first?.length).toBeGreaterThan(0);
      const before = Uint8Array.from(first ?? []);
      first?.fill(0);
      const second = await source.sample(AbortSignal.timeout(HEARD_WITHIN_MS));
      expect(second).toBeDefined();
      expect(Buffer.from(second ?? []).equals(before)).toBe(false);
      expect(second?.some((byte) => byte !== 0)).toBe(true);
    });

    it('is absent from a round that is already closed', async () => {
      const source = await fresh();
      await source.start({ hear: () => undefined }, started.signal);
      expect(await source.sample(AbortSignal.abort())).toBeUndefined();
    });

    it('has a status that is plain, small data', async () => {
      const source = await fresh();
      await source.start({ hear: () => undefined }, started.signal);
      const text = JSON.stringify(source.status());
      expect(text.length).toBeLessThan(2_000);
      for (const value of Object.values(source.status().details)) {
        expect(['string', 'number', 'boolean']).toContain(typeof value);
      }
    });

    it('is silent after stop, which may be called twice', async () => {
      const source = await fresh();
      let events = 0;
      await source.start({ hear: () => (events += 1) }, started.signal);
      await source.sample(AbortSignal.timeout(HEARD_WITHIN_MS));
      await source.stop();
      await source.stop();
      const before = events;
      expect(source.status().state).toBe('stopped');
      expect(await source.sample(AbortSignal.timeout(50))).toBeUndefined();
      expect(events).toBe(before);
    });

    it('lets go when its signal is aborted', async () => {
      const source = await fresh();
      const stopping = new AbortController();
      await source.start({ hear: () => undefined }, stopping.signal);
      stopping.abort();
      await vi.waitFor(() => expect(source.status().state).toBe('stopped'), HEARD_WITHIN_MS);
    });

    it('leaves no handle behind', async () => {
      const handles = (): number =>
        process.getActiveResourcesInfo().filter((name) => name !== 'Timeout' && name !== 'Immediate').length;
      const before = handles();
      const source = await fresh();
      await source.start({ hear: () => undefined }, started.signal);
      await source.sample(AbortSignal.timeout(HEARD_WITHIN_MS));
      await source.stop();
      for (const { cleanUp } of made.splice(0)) await cleanUp();
      await vi.waitFor(() => expect(handles()).toBeLessThanOrEqual(before), HEARD_WITHIN_MS);
    });
  });
}
